# What is installed besides programs and libraries, and the Debian packages that cpack makes.
install(FILES packaging/60-gmig-userfaultfd.rules DESTINATION lib/udev/rules.d)
install(FILES packaging/gmig.tmpfiles RENAME gmig.conf DESTINATION lib/tmpfiles.d)
# Completions for the shells, and where each looks for them. zsh on Debian looks elsewhere for what a package brings than zsh in other places.
set(completions)
foreach(shell bash zsh fish)
	set(completion ${CMAKE_BINARY_DIR}/gmig.${shell}-completion)
	add_custom_command(OUTPUT ${completion}
		COMMAND ${CMAKE_COMMAND} -DGMIG=$<TARGET_FILE:gmig-cli> -DSHELL=${shell} -DOUTPUT=${completion}
			-DTEMPLATE=${PROJECT_SOURCE_DIR}/packaging/gmig.${shell}-completion.in
			-P ${PROJECT_SOURCE_DIR}/packaging/completion.cmake
		DEPENDS gmig-cli packaging/gmig.${shell}-completion.in packaging/completion.cmake)
	list(APPEND completions ${completion})
	if(BUILD_TESTING AND NOT GMIG_SANITIZE AND NOT GMIG_COVERAGE)
		add_test(NAME unit/completion-${shell}
			COMMAND bash ${PROJECT_SOURCE_DIR}/tests/unit/completion.sh ${shell} ${completion})
		set_tests_properties(unit/completion-${shell} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77)
	endif()
endforeach()
add_custom_target(completion ALL DEPENDS ${completions})
install(FILES ${CMAKE_BINARY_DIR}/gmig.bash-completion RENAME gmig
	DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${CMAKE_BINARY_DIR}/gmig.fish-completion RENAME gmig.fish
	DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(CODE "set(share \"${CMAKE_INSTALL_DATADIR}\")\nset(completion \"${CMAKE_BINARY_DIR}/gmig.zsh-completion\")")
install(CODE [[
	set(directory site-functions)
	if(CMAKE_INSTALL_PREFIX MATCHES "(^|/)usr$" AND EXISTS /etc/debian_version)
		set(directory vendor-completions)
	endif()
	file(INSTALL ${completion} DESTINATION ${CMAKE_INSTALL_PREFIX}/${share}/zsh/${directory} RENAME _gmig)
]])
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gmig)
set(CPACK_PACKAGE_CONTACT "gmig founders <founders@gmig.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/packaging/debian-policy.cmake)
# gmig for hosts, gmig-agent for guests, gmig-libvirt for hosts with libvirt, the library for programs of others. "Unspecified"
# is what has no component.
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL Unspecified agent lib dev)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_NAME gmig)
set(CPACK_COMPONENT_UNSPECIFIED_DESCRIPTION ${PROJECT_DESCRIPTION})
set(CPACK_DEBIAN_AGENT_PACKAGE_NAME gmig-agent)
set(CPACK_COMPONENT_AGENT_DESCRIPTION
	"Agent for guests: moves processes' memory between the guest's nodes when the host asks")
# gmig-bench --html draws with it.
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_SUGGESTS gnuplot-nox)
# Static: it needs nothing.
set(CPACK_DEBIAN_AGENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/host/postinst)
set(agent_control ${PROJECT_SOURCE_DIR}/packaging/agent)
set(CPACK_DEBIAN_AGENT_PACKAGE_CONTROL_EXTRA
	"${agent_control}/postinst;${agent_control}/prerm;${agent_control}/postrm;${agent_control}/conffiles")
# The library: what it exports since when is in `symbols`, for dpkg-shlibdeps. Our own programs do not need it.
set(CPACK_DEBIAN_LIB_PACKAGE_NAME libgmig0)
set(CPACK_DEBIAN_LIB_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_LIB_DESCRIPTION "Moves memory between NUMA nodes while it is used: shared library")
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_LIB_PACKAGE_CONTROL_EXTRA
	"${PROJECT_SOURCE_DIR}/packaging/lib/symbols;${PROJECT_SOURCE_DIR}/packaging/lib/triggers")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libgmig-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEV_DESCRIPTION "Moves memory between NUMA nodes while it is used: headers, static library, examples")
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libgmig0 (= ${PROJECT_VERSION}), liburcu-dev, libnuma-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_SHLIBDEPS OFF)
if(NOT GMIG_REFERENCE_MISSING)
	list(APPEND CPACK_COMPONENTS_ALL doc)
	set(CPACK_DEBIAN_DOC_PACKAGE_NAME libgmig-doc)
	set(CPACK_DEBIAN_DOC_PACKAGE_SECTION doc)
	set(CPACK_DEBIAN_DOC_PACKAGE_ARCHITECTURE all)
	set(CPACK_DEBIAN_DOC_PACKAGE_SHLIBDEPS OFF)
	set(CPACK_COMPONENT_DOC_DESCRIPTION "Moves memory between NUMA nodes while it is used: reference of the library, HTML")
	set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS libgmig-doc)
endif()
# libvirt-daemon-system: on Debian 12 and 13 what makes a host of libvirt's, with QEMU, the group libvirt and the directory of hooks. From 13 on a host may have
# the driver without it. The version must be gmig's: the commands and the answers belong together.
if(NOT GMIG_LIBVIRT_MISSING)
	list(APPEND CPACK_COMPONENTS_ALL libvirt)
	set(libvirt_control ${PROJECT_SOURCE_DIR}/packaging/libvirt)
	set(CPACK_DEBIAN_LIBVIRT_PACKAGE_NAME gmig-libvirt)
	set(CPACK_COMPONENT_LIBVIRT_DESCRIPTION "Shows where the memory of libvirt's domains lies and moves it")
	set(CPACK_DEBIAN_LIBVIRT_PACKAGE_DEPENDS "gmig (= ${PROJECT_VERSION}), libvirt-daemon-system | libvirt-daemon-driver-qemu (>= 10.6)")
	set(CPACK_DEBIAN_LIBVIRT_PACKAGE_RECOMMENDS libvirt-clients)
	set(CPACK_DEBIAN_LIBVIRT_PACKAGE_CONTROL_EXTRA
		"${libvirt_control}/postinst;${libvirt_control}/prerm;${libvirt_control}/postrm;${libvirt_control}/conffiles")
endif()
include(CPack)
