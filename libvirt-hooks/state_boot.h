/*
 * Which boot of the host the state directory is of. Journals are about processes and cgroups, which a reboot ends, and the directory may outlive it: then they are
 * about nothing, and those that a lost power supply has damaged, too. By the kernel's boot id, since clocks jump. No state; at the start only.
 *
 * Source: random(4), boot_id.
 */
#ifndef STATE_BOOT_H
#define STATE_BOOT_H

#define STATE_BOOT_TEXT 37

/* root: of /proc, "" this host. 0; or -errno, and "": it cannot be told. */
int state_boot_id(const char *root, char id[STATE_BOOT_TEXT]);
/*
 * Journals of an earlier boot are removed, how many is returned, and the directory is of this boot from now on. Where it is not known of which it was, nothing is
 * removed. -errno: they cannot be listed, or for want of descriptors or memory it cannot be told now; the directory is of that boot still, and whoever asks next
 * removes them. Those that were set aside (state_file.h) stay for people.
 */
int state_boot_begin(const char *directory, const char *root);

#endif
