// Keeps the page and its first model, so that it opens offline after one visit; other models are kept once they
// were used. VERSION, FILES and LATER are filled in when the page is written. A newer version waits until no
// window shows the older one: the two would not fit together.
const VERSION = "{{version}}";
const FILES = [];
const LATER = [];

self.addEventListener("install", (event) => {
  // "no-cache": a file of the version before may still be in the browser's own cache.
  const requests = FILES.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(requests)));
});

self.addEventListener("activate", (event) => {
  const replace = async () => {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name.startsWith("mien-") && name !== VERSION).map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(replace());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(reply(event.request));
});

async function reply(request) {
  const cache = await caches.open(VERSION);
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept) return kept;
  const response = await fetch(request);
  const name = decodeURI(request.url).slice(decodeURI(self.registration.scope).length);
  if (response.ok && LATER.includes(name)) await cache.put(request, response.clone());
  return response;
}
