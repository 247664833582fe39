release/common/base/yaml.o: common/base/yaml.c common/base/yaml.h \
  common/base/err.h common/base/fs.h common/base/mem.h

common/base/yaml.h:

common/base/err.h:

common/base/fs.h:

common/base/mem.h:
