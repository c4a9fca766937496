/* What scrolls sideways can be reached by the keyboard. */
addEventListener("load", () => {
  for (const wide of document.querySelectorAll("pre, article table, .formula, .table-wrapper"))
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
});
