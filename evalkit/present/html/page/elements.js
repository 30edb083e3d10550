"use strict";
// Elements made without markup, so that no text is taken for it.
const SVG = "http://www.w3.org/2000/svg";
const by = (id) => document.getElementById(id);

function put(parent, tag, attributes = {}, ...children) {
  const element = parent && parent.namespaceURI === SVG || tag === "svg" ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") { for (const [event, run] of Object.entries(value)) element.addEventListener(event, run); }
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  if (parent) parent.append(element);
  return element;
}
