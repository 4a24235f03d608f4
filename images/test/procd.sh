# What /etc/rc.common and procd are to the script of a service, for its test: settings come from variables
# (set_SECTION_OPTION), and what procd is told is written down.
config_load() { :; }
config_get() { eval "$1=\${set_$2_$3-\${4-}}"; }
config_get_bool() { config_get "$@"; }
logger() { shift 4; echo "log: $*"; }
for name in open_instance set_param close_instance add_reload_trigger add_restart_mount_trigger send_signal; do
	eval "procd_$name() { echo \"$name \$*\"; }"
done
