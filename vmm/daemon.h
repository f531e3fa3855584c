/* --daemonize: the command returns when the guest can be asked. Main thread. */
#ifndef VMM_DAEMON_H
#define VMM_DAEMON_H

/*
 * Before the first thread. Forks: the child, which becomes the VMM in a session of its own, gets -1
 * and goes on, or 1 and is to end: it has no /dev/null for want of descriptors or memory; the parent waits and gets the exit status: 0 when the child called vmm_daemon_ready,
 * else the child's own, whose reason is on stderr.
 */
int vmm_daemonize(void);
/* The child's guest runs. Nothing without vmm_daemonize. Standard streams are /dev/null from here
 * on, but for a stderr that is a file. */
void vmm_daemon_ready(void);

#endif
