/** The camera: started on demand, stopped for good, and what can go wrong with it in plain words. */

const FROZEN_MS = 3000;
const WATCH_MS = 500;
const SMALL = { width: 64, height: 48 };

/** What kept the camera from starting, or ended it; `message` says what to do. */
export class CameraError extends Error {}

export class Camera {
  #video;
  #stream = null;
  #watch = null;
  #generation = 0; // counts starts and stops

  /** @param {HTMLVideoElement} video shows the camera's picture */
  constructor(video) {
    this.#video = video;
    /** @type {(error: CameraError) => void} called when the camera ends by itself */
    this.onlost = () => {};
    /** @type {(frozen: boolean) => void} called when its picture freezes, and when it moves again */
    this.onfrozen = () => {};
  }

  get running() {
    return this.#stream !== null;
  }

  /** The id of the camera in use. */
  get deviceId() {
    return this.#stream?.getVideoTracks()[0]?.getSettings().deviceId ?? "";
  }

  /** Starts a camera, the system's choice unless its id is given. Throws CameraError. */
  async start(deviceId = "") {
    this.stop();
    const generation = this.#generation;
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new CameraError(
        "This browser gives a camera only to pages on this computer (http://127.0.0.1 or localhost) or over " +
          "https. Open the page there, or start the server with --certificate.",
      );
    }
    const chosen = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
    const wanted = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...chosen };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    } catch (error) {
      throw new CameraError(explain(error));
    }
    if (generation !== this.#generation) {
      // It was stopped, or another one started, while the browser asked the person.
      for (const track of stream.getTracks()) track.stop();
      throw new CameraError("The camera was stopped before it had started.");
    }
    this.#stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => this.#lose());
    this.#video.srcObject = stream;
    await this.#video.play();
    this.#watch = setInterval(watcher(this.#video, this), WATCH_MS);
  }

  /** Turns the camera off. */
  stop() {
    this.#generation += 1;
    clearInterval(this.#watch);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
  }

  /** The cameras there are, as {id, name}; names are known only once one has been allowed. */
  static async list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    return devices
      .filter((device) => device.kind === "videoinput" && device.deviceId)
      .map((device, i) => ({ id: device.deviceId, name: device.label || `Camera ${i + 1}` }));
  }

  #lose() {
    this.stop();
    this.onlost(
      new CameraError("The camera was unplugged or taken away. Plug it in again and start it. What was seen is kept."),
    );
  }
}

/** Compares small pictures of the video now and then: noise makes every picture of a live camera differ. */
function watcher(video, camera) {
  const canvas = Object.assign(document.createElement("canvas"), SMALL);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let before = null;
  let since = performance.now();
  let frozen = false;
  return () => {
    if (video.paused || document.hidden) {
      since = performance.now();
      return;
    }
    context.drawImage(video, 0, 0, SMALL.width, SMALL.height);
    const now = context.getImageData(0, 0, SMALL.width, SMALL.height).data;
    const moved = before === null || now.some((value, i) => value !== before[i]);
    before = now;
    if (moved) since = performance.now();
    if (frozen !== performance.now() - since >= FROZEN_MS) {
      frozen = !frozen;
      camera.onfrozen(frozen);
    }
  };
}

function explain(error) {
  switch (error.name) {
    case "NotFoundError":
    case "OverconstrainedError":
      return "There is no camera. Plug one in and try again, or open photos or a clip.";
    case "NotAllowedError":
    case "SecurityError":
      return (
        "The browser may not use the camera. Allow it by the camera sign in the address bar (or in the " +
        "system's privacy settings), then try again."
      );
    case "NotReadableError":
    case "AbortError":
      return "The camera is busy: another program uses it. Close that program and try again.";
    default:
      return `The camera cannot be started: ${error.message || error.name}.`;
  }
}
