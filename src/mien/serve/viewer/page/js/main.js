/** Starts the page. */

import { bindKeys } from "./keys.js";
import { Viewer } from "./viewer.js";

const viewer = new Viewer();
bindKeys(viewer);
await viewer.start();
