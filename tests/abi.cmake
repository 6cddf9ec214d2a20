# liblarder's ABI beside that of the last release, where libabigail is.
find_program(LARDER_ABIDW abidw)
find_program(LARDER_ABIDIFF abidiff)
if(NOT LARDER_ABIDW OR NOT LARDER_ABIDIFF)
  return()
endif()

# The boundary with what debuggers know, which is where types are read from.
get_target_property(larder_api_sources larder_api SOURCES)
list(TRANSFORM larder_api_sources PREPEND ${PROJECT_SOURCE_DIR}/runtime/)
add_library(larder_abi SHARED ${larder_api_sources})
target_compile_options(larder_abi PRIVATE -g -O0)
target_compile_definitions(larder_abi PRIVATE LARDER_VERSION="${PROJECT_VERSION}")
target_link_libraries(larder_abi PRIVATE larder_flags larder_runtime)
target_include_directories(larder_abi PRIVATE ${PROJECT_SOURCE_DIR}/runtime/api)
target_link_options(larder_abi PRIVATE
  LINKER:--version-script=${PROJECT_SOURCE_DIR}/runtime/api/larder.map)
set_target_properties(larder_abi PROPERTIES OUTPUT_NAME larder SOVERSION 1
                      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/abi)

set(larder_baseline ${CMAKE_CURRENT_SOURCE_DIR}/data/liblarder.abi)
set(larder_api ${PROJECT_SOURCE_DIR}/runtime/api)
# At a release: ninja abi-baseline, and commit.
add_custom_target(abi-baseline DEPENDS larder_abi VERBATIM
  COMMAND ${LARDER_ABIDW} --no-show-locs --no-corpus-path --no-comp-dir-path
          --exported-interfaces-only --type-id-style hash --drop-private-types
          --header-file ${larder_api}/larder.h --header-file ${larder_api}/larder_batch.h
          --out-file ${larder_baseline} $<TARGET_FILE:larder_abi>)
# Functions may come; nothing else may change.
add_test(NAME abi
  COMMAND ${LARDER_ABIDIFF} --no-added-syms --no-show-locs --drop-private-types
          --header-file2 ${larder_api}/larder.h --header-file2 ${larder_api}/larder_batch.h
          ${larder_baseline} $<TARGET_FILE:larder_abi>)
