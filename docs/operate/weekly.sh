#!/bin/sh
# churn weekly with the words given, again every half hour while waiting may help: 1 the machine failed,
# 5 another run is at work, 7 the input is not here yet. After 6 the list is out and only what could not
# be delivered is tried again. 2, 3 and 4 need a person. Ends with the last exit code.
set -u
tries=${CHURN_TRIES:-24}
pause=${CHURN_PAUSE_SECONDS:-1800}
command=weekly
while :; do
  code=0
  churn "$command" "$@" || code=$?
  case $code in
    1 | 5 | 7) ;;
    6) command=deliver ;;
    *) exit "$code" ;;
  esac
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || exit "$code"
  sleep "$pause"
done
