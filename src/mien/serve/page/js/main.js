/** Creates the page's app with the server as its source of predictions. */

import { ServerApi } from "./api.js";
import { App } from "./app.js";

// The key may follow the address as #key=...: browsers never send that part, and it is removed at once.
const hashKey = new URLSearchParams(location.hash.slice(1)).get("key") ?? "";
if (hashKey) history.replaceState(null, "", location.pathname);

const app = new App((key) => new ServerApi(key));
app.connect(hashKey);
