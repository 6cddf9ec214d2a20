#!/bin/sh
# The desktop example on a screen of its own: types, reads the answer, stops another, takes a picture.
#   desktop_example.sh PROGRAM MODEL PICTURE.png
# Needs Xvfb, xdotool, xclip and ImageMagick's import.
set -eu
program=$1 model=$2 picture=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/larder-desktop-XXXXXX")
log=$work/log
pids=
cleanup() {
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT INT TERM

fail() {
  echo "FAILED: $*"
  cat "$log"
  exit 1
}
# wait_for TEXT TIMES: until the log has it so often; at most 60 s.
wait_for() {
  tries=0
  until [ "$(grep -c "$1" "$log")" -ge "$2" ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || fail "no \"$1\""
    sleep 0.1
  done
}
# When something was logged, in ms of the day.
time_of() {
  grep "$1" "$log" | sed -n "${2:-1}p" |
    sed 's/.* \([0-9]*\):\([0-9]*\):\([0-9]*\)\.\([0-9]*\).*/\1 \2 \3 \4/' |
    awk '{ print (($1 * 60 + $2) * 60 + $3) * 1000 + $4 }'
}
say() {
  xdotool type --delay 5 "$1"
  xdotool key Return
}

Xvfb -displayfd 3 -screen 0 720x800x24 -nolisten tcp 3>"$work/display" >/dev/null 2>&1 &
pids=$!
until [ -s "$work/display" ]; do sleep 0.1; done
DISPLAY=:$(cat "$work/display")
export DISPLAY GDK_BACKEND=x11 GSK_RENDERER=cairo GTK_A11Y=none G_MESSAGES_DEBUG=larder-desktop
unset WAYLAND_DISPLAY
: >"$log"
"$program" "$model" >"$log" 2>&1 &
pids="$! $pids"

wait_for 'model loaded' 1
window=$(xdotool search --onlyvisible --name '^larder$' | head -n 1)
xdotool windowmove "$window" 0 0 windowsize "$window" 720 800
xdotool windowfocus --sync "$window"
say 'Tell me a story about a fox.'
wait_for 'answer ended' 1
sleep 0.3
xdotool key ctrl+shift+c
sleep 0.3
answer=$(timeout 10 xclip -selection clipboard -o)
case $answer in
  *[a-z]*' '*[a-z]*' '*[a-z]*.*) ;;
  *) fail "the answer was: $answer" ;;
esac

say 'Tell me a long story about a frog, a bear and a boat.'
wait_for 'first word' 2
xdotool key Escape
wait_for 'answer stopped' 1
say 'Hello!'
wait_for 'answer ended' 2
sleep 0.5
import -window root "$picture"
if grep -q 'CRITICAL\|WARNING' "$log"; then fail 'GTK complains'; fi

echo "window: $(($(time_of 'window shown') - $(time_of started))) ms after the start"
echo "model: $(($(time_of 'model loaded') - $(time_of started))) ms after the start"
echo "first word: $(($(time_of 'first word') - $(time_of 'message sent'))) ms after the message"
echo "stopped: at $(($(time_of 'answer stopped') - $(time_of 'first word' 2))) ms of an answer"
echo "answer: $answer"
