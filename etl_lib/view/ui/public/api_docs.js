// Shows the API's own description; a file of its own, since the page allows no inline script.
window.SwaggerUIBundle({ url: "openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });
