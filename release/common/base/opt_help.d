release/common/base/opt_help.o: common/base/opt_help.c \
  common/base/opt_impl.h common/base/opt.h common/base/err.h

common/base/opt_impl.h:

common/base/opt.h:

common/base/err.h:
