/* What the table of commands lists: one function a file, cmd_<name>.c. Main thread. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

int cmd_list(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_move(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_pause_job(int argc, char **argv);
int cmd_resume_job(int argc, char **argv);
int cmd_set_rate(int argc, char **argv);
int cmd_follow(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_bind(int argc, char **argv);
int cmd_balloon(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_pin(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_rebalance(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_cont(int argc, char **argv);
int cmd_powerdown(int argc, char **argv);
int cmd_quit(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_histogram(int argc, char **argv);
int cmd_retire(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_help(int argc, char **argv);

#endif
