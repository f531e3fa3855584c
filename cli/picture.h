/*
 * A picture as a file: drawn by gnuplot (plot.h), as SVG or PNG by the file's suffix. An SVG has a title and a description that
 * are read aloud, and colours of text and background that follow whoever looks at it, light or dark. Main thread.
 */
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include "../migrate/gmig_error.h"

#include <stdio.h>

#define PICTURE_SERIES 1200
#define PICTURE_NAME   80

/* What has one colour and one line in the legend: boxes. */
struct picture_series {
	char name[PICTURE_NAME];
	unsigned int colour; /* 0xrrggbb */
	FILE *boxes;
	char *text; /* of boxes, once it is closed */
	size_t bytes, count;
	double last[4]; /* a box that may still grow to the right: x0, x1, y0, y1 */
};

struct picture {
	unsigned int width, height;
	char title[160], description[1024];
	struct picture_series *series;
	size_t count;
};

/* SVG, PNG or standard output: -EINVAL neither, or something that is no regular file; -ENOENT no gnuplot. */
int picture_check(const char *who, const char *path, struct gmig_error *err);

/* `series` of them, to be named and coloured by whoever draws. -ENOMEM. */
int picture_create(struct picture *picture, size_t series);
void picture_free(struct picture *picture);
/* Boxes side by side of one height are one. */
void picture_box(struct picture_series *series, double x0, double x1, double y0, double y1);
/*
 * Draw those series that have a box, in their order, after `settings` (commands of gnuplot's), into `path`, "-" for standard
 * output: a file that is there is replaced by a whole one, or stays. -EIO and others with what failed.
 */
int picture_write(struct picture *picture, const char *settings, const char *path,
		  struct gmig_error *err);

#endif
