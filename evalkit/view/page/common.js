"use strict";
// What the app's pages share: elements made without markup.
const by = (id) => document.getElementById(id);

function put(parent, tag, attributes = {}, ...children) {
  const space = tag === "svg" || (parent && parent.namespaceURI === "http://www.w3.org/2000/svg");
  const element = space ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") { for (const [event, run] of Object.entries(value)) element.addEventListener(event, run); }
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  if (parent) parent.append(element);
  return element;
}

// Times as this browser's place has them.
for (const one of document.querySelectorAll("time[datetime]")) {
  const when = new Date(one.dateTime);
  if (!Number.isNaN(when.getTime())) {
    const two = (number) => String(number).padStart(2, "0");
    one.textContent = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ${two(when.getHours())}:${two(when.getMinutes())}`;
  }
}
