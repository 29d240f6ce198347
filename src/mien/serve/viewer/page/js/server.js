/** Requests to the server of `mien view`. */

/** An error that the server explained; its message is for people. */
export class ServerError extends Error {}

/** The response as JSON. */
async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ServerError("The server does not answer. Start mien view again, then reload this page.");
  }
  if (response.ok) return response.json();
  const { message } = await response.json().catch(() => ({}));
  throw new ServerError(message ?? `The server answered with the status ${response.status}.`);
}

function query(values) {
  return new URLSearchParams(values).toString();
}

export const study = () => request("/v1/study");
export const clip = (name) => request(`/v1/clip?${query({ name })}`);
export const loaded = (name) => request(`/v1/loaded?${query({ name })}`);
export const frames = (name, fromS, toS) => request(`/v1/frames?${query({ name, from_s: fromS, to_s: toS })}`);
export const timeline = (name, fromS, toS, bins) =>
  request(`/v1/timeline?${query({ name, from_s: fromS, to_s: toS, bins })}`);
export const videoAddress = (name) => `/v1/clip.video?${query({ name })}`;
export const frameAddress = (name, timeS) => `/v1/frame.jpg?${query({ name, time_s: timeS })}`;

/** Writes an entry into corrections.json; the server refuses one that does not fit. */
export function correct(entry) {
  return request("/v1/corrections", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(entry),
  });
}

export const save = () => request("/v1/save", { method: "POST" });
