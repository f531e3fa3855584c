#include "picture.h"
#include "plot.h"

#include "../control/text.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "gmig" /* before the ids in an SVG */

/* Text, lines and background by whoever looks; `!important`, since gnuplot has some colours as styles. */
static const char style[] =
    "<style>\n"
    "text{fill:#24292f} path[stroke=\"black\"]{stroke:#57606a} "
    "rect[fill=\"#ffffff\"]{fill:#ffffff}\n"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3} path[stroke=\"black\"]{stroke:#9198a1} "
    "rect[fill=\"#ffffff\"]{fill:#0d1117}}\n"
    "</style>\n";

/* ---- Where it goes --------------------------------------------------------------------------- */

static bool has_suffix(const char *path, const char *suffix)
{
	size_t length = strlen(path), its = strlen(suffix);

	return length > its && !strcmp(path + length - its, suffix);
}

static bool is_stdout(const char *path)
{
	return !strcmp(path, "-");
}

int picture_check(const char *who, const char *path, struct gmig_error *err)
{
	struct stat status;

	if (!is_stdout(path) && !has_suffix(path, ".svg") && !has_suffix(path, ".png"))
		return gmig_fail(
		    err, -EINVAL,
		    "'%.200s' ends neither in .svg nor in .png; - is SVG on standard output", path);
	if (!is_stdout(path) && !stat(path, &status) && !S_ISREG(status.st_mode))
		return gmig_fail(err, -EINVAL, "'%.200s' is no regular file; - is standard output",
				 path);
	return plot_check(who, err);
}

static int write_bytes(FILE *file, const char *data, size_t bytes)
{
	errno = 0;
	return fwrite(data, 1, bytes, file) == bytes && !fflush(file) ? 0 : errno ? -errno : -EIO;
}

/* A new file beside it, with the rights that a new file has here; then its name. */
static int replace(const char *path, const char *data, size_t bytes)
{
	char beside[PATH_MAX], real[PATH_MAX];
	mode_t mask = umask(0);
	FILE *file = NULL;
	int fd, rc;

	umask(mask);
	/* What a link leads to is replaced, and the link stays. */
	if (realpath(path, real))
		path = real;
	if (snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= (int)sizeof(beside))
		return -ENAMETOOLONG;
	fd = mkstemp(beside);
	if (fd < 0)
		return -errno;
	rc = fchmod(fd, 0666 & ~mask) ? -errno : 0;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		rc = -ENOMEM;
	}
	if (!rc)
		rc = write_bytes(file, data, bytes);
	if (!rc && fsync(fd) && errno != EINVAL)
		rc = -errno;
	if (file && fclose(file) && !rc)
		rc = -errno;
	if (!rc && rename(beside, path))
		rc = -errno;
	if (rc)
		unlink(beside);
	return rc;
}

static int put_out(const char *path, const char *data, size_t bytes, struct gmig_error *err)
{
	int rc = is_stdout(path) ? write_bytes(stdout, data, bytes) : replace(path, data, bytes);

	return rc ? gmig_fail(err, rc, "cannot write %.200s: %s", path, strerror(-rc)) : 0;
}

/* ---- What is drawn --------------------------------------------------------------------------- */

int picture_create(struct picture *picture, size_t series)
{
	*picture = (struct picture){.count = 0};
	picture->series = calloc(series + 1, sizeof(*picture->series));
	if (!picture->series)
		return -ENOMEM;
	for (size_t i = 0; i < series; i++) {
		struct picture_series *one = &picture->series[i];

		one->boxes = open_memstream(&one->text, &one->bytes);
		if (!one->boxes)
			return -ENOMEM;
		picture->count++;
	}
	return 0;
}

void picture_free(struct picture *picture)
{
	for (size_t i = 0; picture->series && i < picture->count; i++) {
		if (picture->series[i].boxes)
			fclose(picture->series[i].boxes);
		free(picture->series[i].text);
	}
	free(picture->series);
	*picture = (struct picture){.count = 0};
}

static void flush_box(struct picture_series *series)
{
	const double *last = series->last;

	if (last[1] > last[0]) {
		fprintf(series->boxes, "%.6g %.6g %.6g %.6g\n", last[0], last[1], last[2], last[3]);
		series->count++;
	}
	series->last[1] = series->last[0];
}

void picture_box(struct picture_series *series, double x0, double x1, double y0, double y1)
{
	double *last = series->last;

	if (x1 <= x0)
		return;
	if (last[1] > last[0] && last[2] == y0 && last[3] == y1 && x0 - last[1] < 1e-6 &&
	    x0 >= last[1] - 1e-6) {
		last[1] = x1;
		return;
	}
	flush_box(series);
	series->last[0] = x0;
	series->last[1] = x1;
	series->last[2] = y0;
	series->last[3] = y1;
}

/* Data first, and then one command. NULL: no memory, or there is nothing. */
static char *make_script(struct picture *picture, const char *settings)
{
	char *script = NULL;
	const char *between = "plot ";
	size_t bytes;
	FILE *out = open_memstream(&script, &bytes);

	if (!out)
		return NULL;
	fputs("set label ", out);
	plot_text(out, picture->title);
	fprintf(out, " at screen 0.5,screen %.6f center font ',16'\n%s\n",
		1 - 26.0 / picture->height, settings);
	for (size_t i = 0; i < picture->count; i++) {
		struct picture_series *series = &picture->series[i];

		flush_box(series);
		fclose(series->boxes);
		series->boxes = NULL;
		if (series->count)
			fprintf(out, "$s%zu << EOD\n%sEOD\n", i, series->text ? series->text : "");
	}
	for (size_t i = 0; i < picture->count; i++) {
		const struct picture_series *series = &picture->series[i];

		if (!series->count)
			continue;
		fprintf(out,
			"%s$s%zu using (0):(0):1:2:3:4 with boxxyerror fs solid noborder lc rgb "
			"'#%06x' title ",
			between, i, series->colour);
		plot_text(out, series->name);
		between = ", \\\n";
	}
	if (*between == 'p')
		fputs("plot NaN notitle", out);
	fclose(out);
	return script;
}

/* ---- SVG ------------------------------------------------------------------------------------- */

static void put_xml(FILE *out, const char *text)
{
	char *safe = strdup(text);

	for (const char *at = safe ? control_text_safe(safe) : ""; *at; at++)
		switch (*at) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*at, out);
			break;
		}
	free(safe);
}

/* The name of the n-th series that was drawn, from 1 on. */
static const char *drawn_name(const struct picture *picture, unsigned long n)
{
	for (size_t i = 0; i < picture->count; i++)
		if (picture->series[i].count && !--n)
			return picture->series[i].name;
	return "";
}

/* gnuplot calls the picture and its series by numbers of its own; ours have words. */
static char *name_parts(const struct picture *picture, const char *svg, size_t *bytes)
{
	const char *at = svg, *title = strstr(svg, "<title>"), *canvas = strstr(svg, "<g id=");
	char *named = NULL;
	FILE *out = open_memstream(&named, bytes);

	if (!out)
		return NULL;
	fputs("<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"no\"?>\n<svg role=\"img\"",
	      out);
	at += strlen("<svg");
	if (title && canvas && title < canvas) {
		fwrite(at, 1, (size_t)(title - at), out);
		fputs("<title>", out);
		put_xml(out, picture->title);
		fputs("</title>\n<desc>", out);
		put_xml(out, picture->description);
		fprintf(out, "</desc>\n%s", style);
		at = canvas;
	}
	while ((title = strstr(at, "<title>" NAME "_plot_"))) {
		const char *end = strstr(title, "</title>");

		if (!end)
			break;
		title += strlen("<title>");
		fwrite(at, 1, (size_t)(title - at), out);
		put_xml(out, drawn_name(picture, strtoul(title + strlen(NAME "_plot_"), NULL, 10)));
		at = end;
	}
	fputs(at, out);
	fclose(out);
	return named;
}

static int write_svg(const struct picture *picture, const char *script, const char *path,
		     struct gmig_error *err)
{
	char *svg = NULL, *named;
	size_t bytes = 0;
	int rc = plot_svg(NAME, picture->width, picture->height, script, &svg, err);

	if (rc)
		return rc;
	named = name_parts(picture, svg, &bytes);
	free(svg);
	rc = named ? put_out(path, named, bytes, err)
		   : gmig_fail(err, -ENOMEM, "no memory for a picture");
	free(named);
	return rc;
}

static int write_png(const struct picture *picture, const char *script, const char *path,
		     struct gmig_error *err)
{
	char *png = NULL;
	size_t bytes = 0;
	int rc = plot_png(picture->width, picture->height, script, &png, &bytes, err);

	if (!rc)
		rc = put_out(path, png, bytes, err);
	free(png);
	return rc;
}

int picture_write(struct picture *picture, const char *settings, const char *path,
		  struct gmig_error *err)
{
	char *script = make_script(picture, settings);
	int rc;

	if (!script)
		return gmig_fail(err, -ENOMEM, "no memory for a picture");
	rc = has_suffix(path, ".png") ? write_png(picture, script, path, err)
				      : write_svg(picture, script, path, err);
	free(script);
	return rc;
}
