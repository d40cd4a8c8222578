/* Comfort only: every page works without this file. */
(() => {
  const openMenus = (root = document) => root.querySelectorAll("details.menu[open]");

  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // A live refresh would close the menu under the pointer, and empty the field under the hands: it
  // waits for the next turn, also where it was asked for before the menu was opened.
  const waitWhileInUse = (event) => {
    const part = event.detail.ctx.request.method === "GET" && event.target;
    const isTyping = part && document.activeElement?.matches("input") && part.contains(document.activeElement);
    if (isTyping || (part && openMenus(part).length)) event.preventDefault();
  };
  document.addEventListener("htmx:before:request", waitWhileInUse);
  document.addEventListener("htmx:before:swap", waitWhileInUse);

  // A live part that gets no answer stays as it was: say that it is old, until the next answer.
  const connection = document.getElementById("connection-lost");
  const tell = (text) => { if (connection && connection.textContent !== text) connection.textContent = text; };
  const lost = () => tell("Connection lost. What you see may be old; trying again …");
  document.addEventListener("htmx:error", lost);
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status < 500) tell("");
    else lost();
  });

  // A second click on a button whose form is under way does nothing.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-copy-label]");
    try {
      await navigator.clipboard.writeText(source.textContent);
      label.textContent = "Copied";
    } catch {
      // Browsers keep the clipboard from pages without TLS: mark the text for Ctrl-C.
      getSelection().selectAllChildren(source);
      label.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { label.textContent = "Copy"; }, 2000);
  });

  // The page may come back from the browser's memory with its forms marked as sent.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
})();
