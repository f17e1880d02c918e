"use strict";
// All that the shop adds to htmx: a policy of Trusted Types, announcements, and the secret of a link.
htmx.registerExtension("trusted-types", {
  init(api) {
    const rules = { createHTML: (html) => html };
    const policy = window.trustedTypes ? trustedTypes.createPolicy("htmx", rules) : rules;
    class Refused { constructor() { throw new Error("markup holds no code"); } }
    api.initSecurity(policy, Refused, Refused);
  },
});
// A part that htmx has put into the page may carry a sentence for the status region, read out once.
document.addEventListener("htmx:after:swap", () => {
  const said = document.querySelector("[data-status]");
  if (said) {
    document.getElementById("status").textContent = said.dataset.status;
    said.removeAttribute("data-status");
  }
});
// A part that cannot be had leaves the page as it is. Who has pressed a button learns of it; a poll tries again.
const fail = (event) => {
  const status = document.getElementById("status");
  if (event.detail.ctx.request.method !== "GET") status.textContent = status.dataset.failed;
};
document.addEventListener("htmx:response:error", fail);
document.addEventListener("htmx:error", fail);
// The secret of a mailed link is behind its #, which no server sees; it goes into the form, and out of the address.
const token = document.getElementById("token");
if (token && location.hash) {
  token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
}
