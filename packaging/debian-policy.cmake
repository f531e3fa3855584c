# Manual pages as Debian wants them: compressed, without the time in them. cpack runs it on what it has staged.
file(GLOB pages "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/man/man*/*.[1-8]")
foreach(page ${pages})
	execute_process(COMMAND gzip -9n ${page} RESULT_VARIABLE failed)
	if(failed)
		message(FATAL_ERROR "gzip ${page}: ${failed}")
	endif()
endforeach()
