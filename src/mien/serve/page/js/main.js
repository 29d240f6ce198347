/** Puts the page's parts together: where answers come from, what is shown, and what people do. */

import { ServerApi } from "./api.js";
import { App } from "./app.js";

// The key may come behind the address, #key=...: that part is never sent to a server, and is taken away at once.
const key = new URLSearchParams(location.hash.slice(1)).get("key") ?? "";
if (key) history.replaceState(null, "", location.pathname);

const app = new App((given) => new ServerApi(given));
app.connect(key);
