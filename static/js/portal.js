/* Progressive enhancement: every page works without this file. */
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

  // Close a menu when the focus leaves it.
  document.addEventListener("focusout", (event) => {
    const menu = event.target.closest("details.menu[open]");
    if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });

  // Open a menu near the lower edge of the window upwards if there is room, and scroll to it.
  document.addEventListener("toggle", (event) => {
    const panel = event.target.matches?.("details.menu[open]") && event.target.querySelector(".menu-panel");
    if (!panel) return;
    panel.classList.remove("is-above");
    const { bottom, height } = panel.getBoundingClientRect();
    const bar = document.querySelector(".topbar")?.offsetHeight ?? 0;
    const room = event.target.getBoundingClientRect().top - bar;
    panel.classList.toggle("is-above", bottom > innerHeight && room > height + 8);
    panel.scrollIntoView({ block: "nearest" });
  }, true);

  // Skip a live refresh that would close an open menu or clear a field in use, even if it was
  // requested before the menu was opened. The next one follows.
  const waitWhileInUse = (event) => {
    const part = event.detail.ctx.request.method === "GET" && event.target;
    const isTyping = part && document.activeElement?.matches("input") && part.contains(document.activeElement);
    if (isTyping || (part && openMenus(part).length)) event.preventDefault();
  };
  document.addEventListener("htmx:before:request", waitWhileInUse);
  document.addEventListener("htmx:before:swap", waitWhileInUse);

  // A live part without an answer keeps its content: warn that it is outdated until the next answer.
  const connection = document.getElementById("connection-lost");
  const tell = (text) => { if (connection && connection.textContent !== text) connection.textContent = text; };
  const lost = () => tell("Connection lost. What you see may be outdated. Reconnecting …");
  document.addEventListener("htmx:error", lost);
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status < 500) tell("");
    else lost();
  });

  // A chart is a single tab stop; arrow keys move through its values.
  const stops = (chart) => [...chart.querySelectorAll("a, [tabindex]")];
  const shorten = (chart) => {
    const all = stops(chart);
    const here = all.includes(document.activeElement) ? document.activeElement : all.at(-1);
    for (const stop of all) stop.setAttribute("tabindex", stop === here ? "0" : "-1");
  };
  const shortenAll = () => document.querySelectorAll("[data-walk]").forEach(shorten);
  shortenAll();
  document.addEventListener("htmx:after:swap", shortenAll);
  document.addEventListener("keydown", (event) => {
    const chart = event.target.closest?.("[data-walk]");
    const row = Number(chart?.dataset.walk);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
    if (!step) return;
    const all = stops(chart);
    event.preventDefault();
    all[all.indexOf(event.target) + step]?.focus();
    shorten(chart);
  });

  // Ignore a second click while a form is being submitted.
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
      // The visible text, so that a list has one item per line.
      await navigator.clipboard.writeText(source.innerText.trim());
      label.textContent = "Copied";
    } catch {
      // Browsers deny pages without TLS the clipboard: select the text for Ctrl-C.
      getSelection().selectAllChildren(source);
      label.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { label.textContent = "Copy"; }, 2000);
  });

  document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) print(); });

  // The browser may restore a page from its cache with forms still marked as sent.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // If the session had ended, or the password was asked for, refill the submitted form afterwards,
  // except consent checkboxes and web addresses, which may contain a secret. Forms without data-keep,
  // such as those with passwords, are not kept. A form's loaded values are kept, too, so that the
  // portal can detect changes by others. The key has the account, so that nobody else sees them.
  const KEPT = "form:";
  const HIDDEN = "[type=hidden]:not([name^=loaded])";
  const NOT_KEPT = `${HIDDEN}, [type=checkbox][required], [type=url]`;
  const keyOf = (form) => `${KEPT}${document.body.dataset.account}:${location.pathname}#${form.id}`;
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || !("keep" in form.dataset)) return;
    const isKept = ([name]) => !form.elements[name]?.matches?.(NOT_KEPT);
    const fields = [...new FormData(form)].filter(isKept);
    sessionStorage.setItem(keyOf(form), JSON.stringify(fields));
  });
  const isSignIn = (path) => /^\/(sign-in|account\/password-again)\//.test(path);
  const hasSignedIn = document.referrer && isSignIn(new URL(document.referrer).pathname);
  let waiting = [];
  // Until a deferred field is loaded, a hidden one takes its place, so that the request for the field
  // includes the choice.
  const standIn = (form, name, value) => {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name, value });
    return form.appendChild(field);
  };
  const refill = () => {
    waiting = waiting.filter((entry) => {
      const { form, name, value } = entry;
      const fields = [...form.querySelectorAll(`[name="${CSS.escape(name)}"]:not(${HIDDEN})`)];
      const field = fields.find((one) => one.type !== "checkbox" || one.value === value);
      if (!field) {
        entry.standIn ??= standIn(form, name, value);
        return true;
      }
      entry.standIn?.remove();
      if (field.type === "checkbox") field.checked = true;
      else if (field.value !== value) {
        field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      }
      return false;
    });
  };
  const untick = (form, fields) => {
    for (const box of form.querySelectorAll("[type=checkbox]")) {
      box.checked &&= fields.some(([name, value]) => name === box.name && value === box.value);
    }
  };
  if (!isSignIn(location.pathname)) {
    for (const form of hasSignedIn ? document.querySelectorAll("form[data-keep]") : []) {
      const fields = JSON.parse(sessionStorage.getItem(keyOf(form)) ?? "[]");
      if (fields.length) untick(form, fields);
      waiting.push(...fields.map(([name, value]) => ({ form, name, value })));
    }
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(KEPT)) sessionStorage.removeItem(key);
    refill();
    document.addEventListener("htmx:after:swap", refill);
  }
})();
