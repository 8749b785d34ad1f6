// The login page: says that a password was wrong, and skips itself for who is logged in.

document.getElementById("wrong").hidden = !location.search.includes("wrong");

// A link from another site comes without the cookie, which is for this site's own requests only.
fetch("/api/state").then((answer) => answer.ok && location.replace("/"), () => undefined);
