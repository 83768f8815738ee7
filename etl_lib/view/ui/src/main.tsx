// Gives Airflow its three apps under the names that the plugin registers.
import { Clients } from "./Clients";
import { Integration } from "./Integration";
import { Result } from "./Result";
import { addStyle } from "./style";

addStyle();
Object.assign(globalThis, { Clients, Integration, Result });
