/*
 * One HTML file that needs nothing else: plots inside it as SVG, no script, nothing from a network.
 * One thread.
 */
#ifndef BENCH_REPORT_HTML_H
#define BENCH_REPORT_HTML_H

#include "report.h"
#include "watch.h"

struct html_input {
	const char *title, *command; /* the command line that made it */
	const struct runner_report *report;
	const json_t *host;
	const struct watch *watch; /* NULL: none */
	const char *conclusions;   /* NULL, or plain text */
};

/* Text as HTML: nothing in it is a tag or ends an attribute. */
void html_text(FILE *out, const char *text);
/* -errno when a plot cannot be drawn; what was written by then is no report. */
int report_html(FILE *out, const struct html_input *input, struct gmig_error *err);

#endif
