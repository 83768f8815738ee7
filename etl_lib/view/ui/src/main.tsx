// Gives Airflow its apps under the names that the plugin registers.
import { Clients } from "./Clients";
import { Integration } from "./Integration";
import { Need } from "./Need";
import { Result } from "./Result";

Object.assign(globalThis, { Clients, Integration, Result, Need });
