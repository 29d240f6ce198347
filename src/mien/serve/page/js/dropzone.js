/** Photos and clips that the user drops on the page or opens with a button. */

/**
 * @param {{input: HTMLInputElement, buttons: Iterable<HTMLElement>, veil: HTMLElement}} elements
 * @param {(files: File[]) => void} onFiles
 */
export function acceptFiles({ input, buttons, veil }, onFiles) {
  for (const button of buttons) button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be opened again
    if (files.length) onFiles(files);
  });
  let depth = 0; // each element that the pointer enters or leaves sends its own events
  const over = (change) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = Math.max(0, depth + change);
    veil.hidden = depth === 0;
  };
  document.addEventListener("dragenter", over(1));
  document.addEventListener("dragleave", over(-1));
  document.addEventListener("dragover", over(0));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) onFiles(files);
  });
}

const VIDEO_SUFFIX = /\.(mp4|m4v|mov|webm|mkv|avi|mpe?g|ogv|3gp|ts|wmv|flv)$/i;

export function isVideo(file) {
  return file.type.startsWith("video/") || VIDEO_SUFFIX.test(file.name);
}
