/* What scrolls sideways can be reached by the keyboard. */
addEventListener("load", () => {
  for (const wide of document.querySelectorAll("pre, .table-wrapper, .formula"))
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
});

/* From the file system no page may read another: results of a search go without excerpts. */
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS === "object")
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
