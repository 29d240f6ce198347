"""The page without a server: the page of `mien live`, whose models run in the browser.

`mien-js/` has the package of `web/` as JavaScript and WebAssembly. It is built, not committed: `make web`.
"""
