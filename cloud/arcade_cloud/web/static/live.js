// Keeps a player's page live: asks for its state often at first, then less often, and stops after half an hour.
"use strict";
(() => {
  const main = document.querySelector("[data-state-url]");
  if (!main) return;
  const isOrder = main.dataset.live === "order";
  // [how many times, milliseconds between]
  const PACE = isOrder ? [[60, 1000], [80, 3000], [100, 15000]] : [[60, 5000], [100, 15000]];
  const ANSWER_MS = 10000;
  const stale = main.querySelector("[data-stale]");
  const site = document.title.slice(document.title.lastIndexOf(" · "));
  const tab = main.querySelector("[data-tab]");
  const page = main.dataset.stateUrl.split("?")[0];
  // What a button of a tab carries is good for ten minutes: a page that has it is fetched again before that.
  const GOOD_UNTIL = Date.now() + 480000;
  let isUnderWay = tab !== null && tab.querySelector("[data-under-way]") !== null;
  let asked = 0, timer = 0, asking = false, failures = 0, done = false, leaving = false;

  const emblem = main.querySelector("[data-gone-in]");
  const gone = emblem ? Date.now() + Number(emblem.dataset.goneIn) : 0;
  const forget = () => { if (emblem && Date.now() >= gone) emblem.hidden = true; };
  setTimeout(forget, emblem ? Number(emblem.dataset.goneIn) : 0);

  const field = (name, text) => {
    const element = main.querySelector(`[data-field="${name}"]`);
    if (element && element.textContent !== text) element.textContent = text;
  };
  const note = (text) => {
    stale.hidden = !text;
    if (stale.textContent !== text) stale.textContent = text;
  };

  const renew = () => { if (!leaving) location.replace(page); };
  const showPlays = (plays) => {
    const list = tab.querySelector("[data-plays]"), whole = "whole" in list.dataset;
    const part = (name, text) => Object.assign(document.createElement(name), { textContent: text });
    const lines = plays.map((play) => {
      const line = document.createElement("li");
      line.append(part("b", play.machine), " ");
      if (whole) line.append(part("small", play.time), " ", part("i", play.price), " ");
      line.append(part("span", play.result));
      line.toggleAttribute("data-under-way", play.underWay);
      return line;
    });
    if (lines.map((line) => line.outerHTML).join() !== [...list.children].map((line) => line.outerHTML).join()) {
      list.replaceChildren(...lines);
    }
    isUnderWay = plays.some((play) => play.underWay);
  };
  const tabField = (name, text) => {
    const element = tab.querySelector(`[data-tab-field="${name}"]`);
    if (!element) return;
    element.hidden = !text;
    if (element.textContent !== text) element.textContent = text;
  };
  const showTab = (state, ready, maxCredits) => {
    if (!tab !== !state || (tab && (tab.dataset.tab === "open") !== state.open)) return renew();
    if (!tab) return;
    showPlays(state.plays);
    for (const name of ["title", "whyNot", "finish", "unconfirmed"]) if (state.open) tabField(name, state[name]);
    if (leaving) return;
    for (const button of tab.querySelectorAll("button[data-price]")) {
      const price = Number(button.dataset.price);
      button.disabled = !ready || state.whyNot !== "" || Number(button.dataset.credits) > maxCredits
        || price > state.leftMinor || price < state.leastMinor;
    }
  };

  const showOrder = (state) => {
    main.dataset.phase = state.phase;
    for (const name of ["title", "detail", "money"]) field(name, state[name]);
    const progress = main.querySelector("[data-progress]");
    if (progress) {
      progress.max = state.credits;
      progress.value = state.delivered;
    }
    if (tab) {
      showPlays(state.plays);
      for (const name of ["finish", "unconfirmed"]) tabField(name, state[name]);
      if ((tab.dataset.tab === "open") !== (state.phase === "tab")) renew();
    }
    main.querySelector("[data-ask]").hidden = !state.ask;
    const claim = main.querySelector("[data-claim]");
    if (claim) claim.hidden = !state.claimable;
    document.title = state.title + site;
    done = state.final;
  };
  const showMachine = (state) => {
    const ready = state.ready ? "yes" : "no", prices = main.querySelector("[data-prices]");
    if (prices && ready !== main.dataset.ready) prices.open = state.ready;
    main.dataset.ready = ready;
    field("word", state.word);
    showTab(state.tab, state.ready, state.maxCredits);
    if (leaving) return;
    for (const button of main.querySelectorAll("button[data-credits]:not([data-price])")) {
      button.disabled = !state.ready || "unsold" in button.dataset || Number(button.dataset.credits) > state.maxCredits;
    }
  };

  const pause = () => {
    if (isUnderWay && asked < 60) return 1000;
    let before = 0;
    for (const [times, ms] of PACE) {
      before += times;
      if (asked < before) return ms;
    }
    return 0;
  };
  const next = () => {
    clearTimeout(timer);
    if (done || document.hidden) return;
    const ms = pause();
    if (ms) timer = setTimeout(ask, ms);
    else note(main.dataset.over);
  };
  const ask = async () => {
    if (asking || done) return;
    if (tab && !isOrder && Date.now() > GOOD_UNTIL) return renew();
    asking = true;
    asked += 1;
    const stop = new AbortController();
    const late = setTimeout(() => stop.abort(), ANSWER_MS);
    try {
      const answer = await fetch(main.dataset.stateUrl, { cache: "no-store", signal: stop.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const state = await answer.json();
      (isOrder ? showOrder : showMachine)(state);
      failures = 0;
      note("");
    } catch {
      failures += 1;
      if (failures >= 3) note(main.dataset.lost);
    } finally {
      clearTimeout(late);
      asking = false;
      next();
    }
  };
  const again = () => {
    forget();
    asked = 0;
    ask();
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    leaving = false;
    if (tab) renew(); // with buttons that were not tapped yet
    else again();
  });
  main.addEventListener("submit", () => {
    leaving = true; // one tap, one checkout
    setTimeout(() => { for (const button of main.querySelectorAll("button")) button.disabled = true; });
    setTimeout(() => { leaving = false; }, 15000);
  });
  next();
})();
