# What `cmake --install` puts where, and the Debian package that cpack makes of it:
#   cmake --preset package && cmake --build --preset package
#   cpack --config build/CPackConfig.cmake -B build/package
include(GNUInstallDirs)

install(TARGETS derd)
install(DIRECTORY drivers policies DESTINATION ${CMAKE_INSTALL_DATADIR}/derd
  FILES_MATCHING PATTERN "*.lua")
install(DIRECTORY host/package/proxy DESTINATION ${CMAKE_INSTALL_DATADIR}/derd
  USE_SOURCE_PERMISSIONS)
install(DIRECTORY web DESTINATION ${CMAKE_INSTALL_DATADIR}/derd
  PATTERN "README.md" EXCLUDE PATTERN "LICENSE*" EXCLUDE PATTERN "*.LICENSE.txt" EXCLUDE
  PATTERN "NOTICE" EXCLUDE)
install(DIRECTORY scripts/templates scripts/meta DESTINATION ${CMAKE_INSTALL_DATADIR}/derd/scripts)
install(DIRECTORY scripts/examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES drivers/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME drivers.md)
install(FILES policies/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME policies.md)
install(FILES host/package/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME running.md)
install(FILES host/package/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES web/swagger-ui/swagger-ui-bundle.js.LICENSE.txt DESTINATION ${CMAKE_INSTALL_DOCDIR}
  RENAME swagger-ui-bundle.txt)

# Debian wants both compressed, without a time in them.
set(compressed ${CMAKE_CURRENT_BINARY_DIR}/compressed)
file(MAKE_DIRECTORY ${compressed})
foreach(name derd.1 changelog)
  configure_file(host/package/${name} ${compressed}/${name} @ONLY)
  execute_process(COMMAND gzip -9nf ${compressed}/${name} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
install(FILES ${compressed}/derd.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${compressed}/changelog.gz DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The service: not below the prefix.
option(DERD_SERVICE "install the systemd unit and the site file of the service" OFF)
if(DERD_SERVICE)
  install(FILES host/package/derd.service DESTINATION /lib/systemd/system)
  install(FILES host/package/site.lua DESTINATION /etc/derd)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME derd)
set(CPACK_PACKAGE_VENDOR derd)
set(CPACK_PACKAGE_CONTACT "derd maintainers <maintainers@derd.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "host for distributed energy resources")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Polls the inverters, batteries, meters, charging stations and heat pumps of
a site through Lua drivers, decides between time-bounded prioritised
constraints, runs control policies in Lua, and offers all of it as one
REST API and one web page.")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, init-system-helpers (>= 1.51)")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "nginx, openssl")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${CMAKE_CURRENT_SOURCE_DIR}/host/package/postinst
  ${CMAKE_CURRENT_SOURCE_DIR}/host/package/prerm
  ${CMAKE_CURRENT_SOURCE_DIR}/host/package/postrm
  ${CMAKE_CURRENT_SOURCE_DIR}/host/package/conffiles)
include(CPack)
