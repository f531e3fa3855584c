# cmake -DGMIG=.. -DSHELL=bash|zsh|fish -DTEMPLATE=.. -DOUTPUT=.. -P completion.cmake: the completion, with the tables of the gmig that
# was built.
execute_process(COMMAND ${GMIG} --complete-tables ${SHELL} OUTPUT_VARIABLE TABLES COMMAND_ERROR_IS_FATAL ANY)
string(STRIP "${TABLES}" TABLES)
configure_file(${TEMPLATE} ${OUTPUT} @ONLY)
