# What is installed besides programs and libraries, and the Debian packages that cpack makes.
install(FILES packaging/60-gmig-userfaultfd.rules DESTINATION lib/udev/rules.d)
install(FILES packaging/gmig.bash-completion RENAME gmig
	DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gmig)
set(CPACK_PACKAGE_CONTACT "gmig founders <founders@gmig.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
include(CPack)
