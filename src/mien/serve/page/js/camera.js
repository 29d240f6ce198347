/** The camera: start, stop, and its errors in plain words. */

const FROZEN_MS = 3000;
const WATCH_MS = 500;
const SMALL = { width: 64, height: 48 };

/** The camera could not start, or ended; `message` contains the remedy. */
export class CameraError extends Error {}

export class Camera {
  #video;
  #stream = null;
  #watch = null;
  #generation = 0; // counts starts and stops

  /** @param {HTMLVideoElement} video shows the camera's frames */
  constructor(video) {
    this.#video = video;
    /** @type {(error: CameraError) => void} called when the camera ends by itself */
    this.onlost = () => {};
    /** @type {(frozen: boolean) => void} called when its frames stop changing, and when they change again */
    this.onfrozen = () => {};
  }

  get running() {
    return this.#stream !== null;
  }

  /** The id of the camera in use. */
  get deviceId() {
    return this.#stream?.getVideoTracks()[0]?.getSettings().deviceId ?? "";
  }

  /** Starts the camera with this id; without an id, the system's default. Throws CameraError. */
  async start(deviceId = "") {
    this.stop();
    const generation = this.#generation;
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new CameraError(
        "Browsers allow the camera only on pages from this computer (http://127.0.0.1 or localhost) or over " +
          "https. Open the page at such an address, or start the server with --certificate.",
      );
    }
    const device = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
    const constraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...device };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: constraints, audio: false });
    } catch (error) {
      throw new CameraError(explain(error));
    }
    if (generation !== this.#generation) {
      // The camera was stopped, or another one started, while the browser waited for the permission.
      for (const track of stream.getTracks()) track.stop();
      throw new CameraError("The camera was stopped before it started.");
    }
    this.#stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => this.#onLost());
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

  /** The cameras as {id, name}; names are empty until the user has allowed a camera. */
  static async list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    return devices
      .filter((device) => device.kind === "videoinput" && device.deviceId)
      .map((device, i) => ({ id: device.deviceId, name: device.label || `Camera ${i + 1}` }));
  }

  #onLost() {
    this.stop();
    this.onlost(
      new CameraError("The camera was disconnected. Connect it again and start it. The results are kept."),
    );
  }
}

/** Compares small copies of the frames: noise makes every frame of a live camera differ from the last. */
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
      return "No camera was found. Connect one and try again, or open photos or a clip.";
    case "NotAllowedError":
    case "SecurityError":
      return (
        "The browser is not allowed to use the camera. Allow it with the camera icon in the address bar (or in " +
        "the system's privacy settings), then try again."
      );
    case "NotReadableError":
    case "AbortError":
      return "Another program is using the camera. Close that program and try again.";
    default:
      return `The camera cannot start: ${error.message || error.name}.`;
  }
}
