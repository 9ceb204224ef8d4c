// Keeps a page of the console live: asks for the page again, and shows what it says now. Without it, reload the page.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  const note = document.querySelector("[data-stale]");
  if (!main || !note) return;
  const EVERY_MS = 15000;
  const ANSWER_MS = 10000;
  const TIMES = 120; // half an hour
  let asked = 0, timer = 0, asking = false, failures = 0, over = false;

  const say = (text) => {
    note.hidden = !text;
    if (note.textContent !== text) note.textContent = text;
  };
  const changed = (field) =>
    field.matches("[type=checkbox], [type=radio]") ? field.checked !== field.defaultChecked
      : field.matches("select") ? [...field.options].some((option) => option.selected !== option.defaultSelected)
        && field.selectedIndex > 0
      : field.type !== "hidden" && field.value !== field.defaultValue;
  // Nothing changes under somebody's hands.
  const inUse = () =>
    main.contains(document.activeElement)
    || main.querySelector("details[open]") !== null
    || getSelection().type === "Range"
    || [...main.querySelectorAll("input, select, textarea")].some(changed);

  const next = () => {
    clearTimeout(timer);
    if (over || document.hidden) return;
    if (asked < TIMES) timer = setTimeout(ask, EVERY_MS);
    else say("This page has stopped updating. Reload it to see the latest.");
  };
  const show = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main[data-live]");
    if (!fresh) throw new Error("another page");
    if (!inUse() && fresh.innerHTML !== main.innerHTML) main.replaceChildren(...fresh.childNodes);
  };
  const ask = async () => {
    if (asking || over) return;
    if (inUse()) return next();
    asking = true;
    asked += 1;
    const stop = new AbortController();
    const late = setTimeout(() => stop.abort(), ANSWER_MS);
    try {
      const answer = await fetch(location.href, {
        cache: "no-store", redirect: "manual", signal: stop.signal, headers: { "X-Arcade-Live": "1" },
      });
      if (answer.type === "opaqueredirect") {
        over = true;
        say("You are signed out. Reload the page to sign in again.");
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.text());
      failures = 0;
      say("");
    } catch {
      failures += 1;
      if (failures >= 3) say("No connection at the moment. Still trying.");
    } finally {
      clearTimeout(late);
      asking = false;
      next();
    }
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    asked = 0;
    ask();
  });
  next();
})();
