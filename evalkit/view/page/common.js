"use strict";
// Times as this browser's place has them.
for (const one of document.querySelectorAll("time[datetime]")) {
  const when = new Date(one.dateTime);
  if (!Number.isNaN(when.getTime())) {
    const two = (number) => String(number).padStart(2, "0");
    one.textContent = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ${two(when.getHours())}:${two(when.getMinutes())}`;
  }
}
