# Where a Debian package puts everything; `cpack -G DEB` in the build folder makes one. For a
# system-wide installation configure with -DCMAKE_INSTALL_PREFIX=/usr, which makes sysconfdir /etc.
# Include this after the targets exist.
set(anomalyd_data "${CMAKE_INSTALL_DATADIR}/anomalyd")

foreach(program anomalyd anomalyctl)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  endif()
endforeach()

# The unit in the tree is the one of a Debian package; another prefix changes its two paths.
file(READ "${PROJECT_SOURCE_DIR}/systemd/anomalyd.service" anomalyd_unit)
string(REPLACE "/usr/bin/" "${CMAKE_INSTALL_FULL_BINDIR}/" anomalyd_unit "${anomalyd_unit}")
string(REPLACE " /etc/" " ${CMAKE_INSTALL_FULL_SYSCONFDIR}/" anomalyd_unit "${anomalyd_unit}")
string(REPLACE "/usr/share/doc/anomalyd/" "${CMAKE_INSTALL_FULL_DOCDIR}/" anomalyd_unit "${anomalyd_unit}")
file(WRITE "${PROJECT_BINARY_DIR}/systemd/anomalyd.service" "${anomalyd_unit}")
install(FILES "${PROJECT_BINARY_DIR}/systemd/anomalyd.service" DESTINATION lib/systemd/system)

install(FILES configs/anomalyd.toml DESTINATION "${CMAKE_INSTALL_FULL_SYSCONFDIR}/anomalyd")
install(DIRECTORY configs/prometheus configs/grafana DESTINATION "${anomalyd_data}"
  PATTERN "*.test.yml" EXCLUDE PATTERN runbook.md EXCLUDE)
foreach(folder configs/examples models)
  if(EXISTS "${PROJECT_SOURCE_DIR}/${folder}")
    install(DIRECTORY ${folder} DESTINATION "${anomalyd_data}"
      FILES_MATCHING PATTERN "*.toml" PATTERN "*.safetensors")
  endif()
endforeach()
install(FILES README.md ARCHITECTURE.md CHANGELOG.md SECURITY.md LICENSE configs/prometheus/runbook.md
  DESTINATION "${CMAKE_INSTALL_DOCDIR}")
if(EXISTS "${PROJECT_SOURCE_DIR}/docs")
  install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" PATTERN openapi.json EXCLUDE)
  install(FILES docs/openapi.json DESTINATION "${anomalyd_data}")
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "anomalyd maintainers <anomalyd@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX "${CMAKE_INSTALL_PREFIX}")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# An operator's changes to the config survive an upgrade.
file(WRITE "${PROJECT_BINARY_DIR}/debian/conffiles"
  "${CMAKE_INSTALL_FULL_SYSCONFDIR}/anomalyd/anomalyd.toml\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${PROJECT_BINARY_DIR}/debian/conffiles")
include(CPack)
