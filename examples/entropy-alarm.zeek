##! Raises a notice for each new incident in entropy_alarm.log, through Zeek's Input
##! framework: load it on the Zeek that should notify, and say where the log lies:
##!
##!     @load ./entropy-alarm
##!     redef EntropyAlarm::log_file = "/var/log/entropy-ids/office/entropy_alarm.log";

@load base/frameworks/cluster
@load base/frameworks/input
@load base/frameworks/notice

module EntropyAlarm;

export {
	redef enum Notice::Type += {
		## An incident that entropy-ids found and no rule suppresses.
		Incident,
	};

	## The log of one sensor.
	const log_file = "/var/log/entropy-ids/site/entropy_alarm.log" &redef;

	## One line of it: one revision of an incident.
	type Line: record {
		ts: time;
		id: string;
		revision: count;
		state: string;
		schema: count;
		sensor: string;
		class: string;
		severity: string;
		confidence: double;
		start: time;
		end: time;
		detector: string;
		score: double;
		threshold: double;
		deviations: vector of string;
		contributors: vector of string;
		uids: vector of string;
		community_ids: vector of string;
		flows: count;
		suppressed_by: string &optional;
		profile_name: string;
		profile_hash: string;
		technique: vector of string;
		summary: string;
	};

	## Raised for every line, each time that the log has changed.
	global line: event(description: Input::EventDescription, kind: Input::Event,
	                   row: Line);
}

# The log is read again as a whole when it changes (a stream would stay with a file that
# was renamed at midnight), so incidents are remembered for longer than it lives.
global seen: set[string] &create_expire=2days;

event EntropyAlarm::line(description: Input::EventDescription, kind: Input::Event,
                         row: Line)
	{
	if ( row?$suppressed_by || row$id in seen )
		return;

	add seen[row$id];
	NOTICE([$note=Incident,
	        $ts=row$end,
	        $msg=row$summary,
	        $sub=fmt("%s %s %s", row$class, row$severity, row$id),
	        $n=row$flows,
	        $identifier=row$id]);
	}

event zeek_init()
	{
	if ( Cluster::is_enabled() && Cluster::local_node_type() != Cluster::MANAGER )
		return;

	Input::add_event([$source=log_file,
	                  $name="entropy_alarm",
	                  $fields=Line,
	                  $mode=Input::REREAD,
	                  $ev=EntropyAlarm::line,
	                  $want_record=T]);
	}
