// Not a module: browsers run no modules from file://, and this file says so on the page.
if (location.protocol === "file:") {
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("alert-text").textContent =
      "Browsers do not run this page from a file. Put its folder on a host, or open it on this computer with: " +
      "python -m http.server, in the folder; then http://127.0.0.1:8000. Or run: mien live --local";
    document.getElementById("alert-close").hidden = true;
    document.getElementById("alert").hidden = false;
    for (const button of document.querySelectorAll("#consent button, #agreed")) button.disabled = true;
  });
}
