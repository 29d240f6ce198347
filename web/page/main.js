/** Creates the page's app with mien-js as its source of predictions, and keeps the page for use offline. */

import { App } from "./app.js";
import { WorkerApi } from "./worker-api.js";

new App(() => new WorkerApi()).connect("");
navigator.serviceWorker?.register("sw.js");
