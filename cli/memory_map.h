/* gmig show --map: where every block of a guest lies, and its heat, as a picture (picture.h). Main thread. */
#ifndef CLI_MEMORY_MAP_H
#define CLI_MEMORY_MAP_H

/* Ask, draw and write into `path`; the exit status. */
int cli_show_map(const char *vm, const char *path);

#endif
