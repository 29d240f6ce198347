/** Creates the page's app with mien-js as its source of predictions, and keeps the page for use offline. */

import { App } from "./app.js";
import { WorkerApi } from "./worker-api.js";

new App(() => new WorkerApi()).connect("");
keep();

/** Keeps the page if it was written for that, and writes in the footer whether it is kept. */
async function keep() {
  if (!document.querySelector("link[rel=manifest]")) return;
  const write = (text) => {
    document.getElementById("kept").textContent = text;
  };
  if (!navigator.serviceWorker) {
    write("This browser keeps no pages for offline use from this address.");
    return;
  }
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    write("This page also works offline.");
  } catch (error) {
    write(`Not kept for offline use: ${error.message}`);
  }
}
