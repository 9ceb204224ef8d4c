// A link by which another browser finds a tab has the secret in its fragment, which is sent to nobody: it is posted.
"use strict";
(() => {
  const form = document.querySelector("[data-join]"), secret = location.hash.slice(1);
  if (form && /^[A-Za-z0-9_-]{40,100}$/.test(secret)) {
    history.replaceState(null, "", location.pathname);
    form.elements.secret.value = secret;
    form.submit();
  }
  const link = document.querySelector("[data-share]");
  if (link) link.addEventListener("click", (event) => {
    event.preventDefault();
    if (navigator.share) navigator.share({ url: link.href }).catch(() => {});
    else if (navigator.clipboard) navigator.clipboard.writeText(link.href).then(() => { link.dataset.copied = ""; });
  });
})();
