/* Progressive enhancement: searches an API's calls while typing; the index works without it. */
(() => {
  const input = document.getElementById("reference-sought");
  const found = document.getElementById("reference-found");
  const groups = [...document.querySelectorAll(".reference-group")].map((section) => ({
    section,
    line: document.querySelector(`.reference-index a[href="#${section.id}"]`),
    calls: [...section.querySelectorAll(".call")].map((call) => ({
      call,
      text: `${section.querySelector("h2").textContent} ${call.querySelector("summary").textContent}`.toLowerCase(),
    })),
  }));

  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { section, line, calls } of groups) {
      const matching = calls.filter(({ call, text }) => {
        call.hidden = !words.every((word) => text.includes(word));
        return !call.hidden;
      });
      section.hidden = line.hidden = !matching.length;
      count += matching.length;
    }
    const noun = count === 1 ? "call" : "calls";
    found.textContent = words.length ? `${count || "No"} ${noun} found` : "";
  };

  // Open the collapsed call that the address names.
  const unfold = () => {
    const call = document.getElementById(location.hash.slice(1));
    if (call?.matches(".call")) call.open = true;
  };

  input.addEventListener("input", search);
  window.addEventListener("hashchange", unfold);
  window.addEventListener("pageshow", search);
  unfold();
})();
