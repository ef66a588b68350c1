-- Pace: how much an account may send, when, and to whom again.
ALTER TABLE accounts
  ADD COLUMN hourly_cap integer CHECK (hourly_cap BETWEEN 1 AND 10000000),
  ADD COLUMN daily_cap integer CHECK (daily_cap BETWEEN 1 AND 100000000),
  -- a pause between two messages, drawn anew after each; seconds
  ADD COLUMN delay_min double precision CHECK (delay_min >= 0),
  ADD COLUMN delay_max double precision CHECK (delay_max <= 3600),
  ADD COLUMN warm_up_first integer CHECK (warm_up_first >= 1),
  ADD COLUMN warm_up_days integer CHECK (warm_up_days BETWEEN 2 AND 365),
  ADD COLUMN warm_up_since timestamptz,
  -- seconds between two messages to one person
  ADD COLUMN person_gap integer NOT NULL DEFAULT 0 CHECK (person_gap BETWEEN 0 AND 86400),
  ADD COLUMN quiet_from time,
  ADD COLUMN quiet_until time,
  ADD COLUMN quiet_local boolean NOT NULL DEFAULT true,
  ADD CHECK ((delay_min IS NULL) = (delay_max IS NULL) AND delay_min <= delay_max),
  ADD CHECK ((warm_up_first IS NULL) = (warm_up_days IS NULL) AND (warm_up_first IS NULL) = (warm_up_since IS NULL)),
  ADD CHECK (warm_up_first IS NULL OR daily_cap IS NOT NULL AND warm_up_first <= daily_cap),
  ADD CHECK ((quiet_from IS NULL) = (quiet_until IS NULL) AND quiet_from <> quiet_until);
COMMENT ON COLUMN accounts.hourly_cap IS 'most messages in any 60 minutes; null: no limit';
COMMENT ON COLUMN accounts.daily_cap IS 'most messages in any 24 hours; null: no limit';
COMMENT ON COLUMN accounts.warm_up_first IS 'messages of the first day of the warm-up, which grows to daily_cap on day warm_up_days';
COMMENT ON COLUMN accounts.quiet_from IS 'from then until quiet_until no mailing is sent';
COMMENT ON COLUMN accounts.quiet_local IS 'quiet hours are those of the recipient''s country; else of the company''s zone';
UPDATE accounts SET person_gap = 6 WHERE provider = 'meta';

-- The state of the pace, shared by all instances.
ALTER TABLE account_pace
  -- a rate error halves it; it doubles every five minutes until it is 1
  ADD COLUMN slow double precision NOT NULL DEFAULT 1 CHECK (slow > 0 AND slow <= 1),
  ADD COLUMN slowed_at timestamptz,
  -- the end of the pause after the last message
  ADD COLUMN next_at timestamptz,
  -- what was taken in each ten minutes of the last day, the newest first; slot is the newest's number since 1970
  ADD COLUMN slot bigint NOT NULL DEFAULT 0,
  ADD COLUMN sent integer[] NOT NULL DEFAULT '{}',
  -- the account's updated_at under whose rules messages are held back
  ADD COLUMN rules_at timestamptz;

-- Which part of its rate an account that was slowed down may use at an instant.
CREATE FUNCTION wablast_slowed(slow double precision, slowed_at timestamptz, at timestamptz) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN slowed_at IS NULL THEN 1
    ELSE least(1, slow * power(2, least(20, greatest(0, extract(epoch FROM at - slowed_at)::float8 / 300)))) END
$$;

-- How many messages a day the account may send on this day of its warm-up; null: no limit.
CREATE FUNCTION wablast_day_cap(daily_cap integer, first integer, days integer, since timestamptz, at timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN first IS NULL OR extract(epoch FROM at - since) >= (days - 1) * 86400.0 THEN daily_cap
    ELSE floor(first * power(daily_cap::float8 / first, floor(greatest(0, extract(epoch FROM at - since)) / 86400)::float8 / (days - 1)) + 1e-9)::int END
$$;

CREATE TYPE wablast_room AS (
  -- messages the rate allows
  tokens double precision,
  -- how many may be taken now: of every kind, and of mailings
  urgent integer,
  mass integer,
  slot bigint,
  sent integer[],
  -- null where the account has no caps
  hour bigint,
  day bigint,
  day_cap integer
);

-- What an account may send at an instant. One place for the claim, for waiting and for what pages say.
CREATE FUNCTION wablast_room(p account_pace, a accounts, at timestamptz) RETURNS wablast_room LANGUAGE plpgsql STABLE AS $$
DECLARE
  r wablast_room;
  passed integer;
BEGIN
  r.slot := floor(extract(epoch FROM at) / 600);
  -- where the clock went back the newest ten minutes go on
  passed := greatest(0, least(145, r.slot - p.slot));
  r.slot := greatest(r.slot, p.slot);
  r.sent := p.sent;
  IF passed > 0 THEN
    r.sent := (array_fill(0, ARRAY[passed]) || p.sent)[1:145];
  END IF;
  r.tokens := least(a.burst, p.tokens + a.per_second * wablast_slowed(p.slow, p.slowed_at, greatest(p.tokens_at, p.slowed_at))
    * greatest(0, extract(epoch FROM at - p.tokens_at)::float8));
  r.urgent := greatest(0, floor(r.tokens));
  IF a.delay_max IS NOT NULL THEN
    r.urgent := CASE WHEN p.next_at > at THEN 0 ELSE least(1, r.urgent) END;
  END IF;
  r.mass := r.urgent;
  IF a.hourly_cap IS NOT NULL OR a.daily_cap IS NOT NULL THEN
    -- seven and 145: the oldest ten minutes count whole, so that no hour and no day has more
    SELECT coalesce(sum(n) FILTER (WHERE i <= 7), 0), coalesce(sum(n), 0) INTO r.hour, r.day
      FROM unnest(r.sent) WITH ORDINALITY AS s(n, i);
    r.day_cap := wablast_day_cap(a.daily_cap, a.warm_up_first, a.warm_up_days, a.warm_up_since, at);
    r.mass := greatest(0, least(r.urgent, a.hourly_cap - r.hour, r.day_cap - r.day));
  END IF;
  RETURN r;
END $$;

-- When a full cap lets the next message through; null where none is full.
CREATE FUNCTION wablast_capped_until(r wablast_room, hourly_cap integer) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  lasts bigint := 0;
  sum bigint := 0;
BEGIN
  FOR i IN 1..coalesce(array_length(r.sent, 1), 0) LOOP
    sum := sum + r.sent[i];
    -- what came in slot i leaves the hour seven slots later, and the day 145 slots later
    IF i <= 7 AND sum >= hourly_cap AND lasts < 8 - i AND r.hour >= hourly_cap THEN lasts := greatest(lasts, 8 - i); END IF;
    IF sum >= r.day_cap AND r.day >= r.day_cap THEN
      lasts := greatest(lasts, 146 - i);
      EXIT;
    END IF;
  END LOOP;
  RETURN CASE WHEN lasts > 0 THEN to_timestamp((r.slot + lasts) * 600) END;
END $$;

CREATE FUNCTION wablast_counted(sent integer[], n integer) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$
  SELECT (coalesce(sent[1], 0) + n) || sent[2:145]
$$;

-- What waits for a moment of its own is not walked to find what may go.
DROP INDEX outgoing_queue;
CREATE INDEX outgoing_queue ON outgoing (mailing_id, id) WHERE state = 'queued' AND not_before IS NULL;
CREATE INDEX outgoing_later ON outgoing (mailing_id, not_before) WHERE state = 'queued' AND not_before IS NOT NULL;

-- Stop sending after.
ALTER TABLE mailings ADD COLUMN not_after timestamptz;
COMMENT ON COLUMN mailings.not_after IS 'what has not left by then expires; null: however late';
CREATE INDEX outgoing_not_after ON outgoing (not_after) WHERE state = 'queued' AND not_after IS NOT NULL;

-- At most so many mailings to one person in so many days, over all mailings of a company.
ALTER TABLE companies
  ADD COLUMN frequency_mailings integer CHECK (frequency_mailings BETWEEN 1 AND 1000),
  ADD COLUMN frequency_days integer CHECK (frequency_days BETWEEN 1 AND 366),
  ADD CHECK ((frequency_mailings IS NULL) = (frequency_days IS NULL));

-- How many other mailings began to go to a person within so many days. Volatile: it sees what another taker of the
-- account committed while this one waited for the lock of its pace.
CREATE FUNCTION wablast_mailed(contact bigint, mailing bigint, days integer) RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT count(DISTINCT o.mailing_id) FROM outgoing o
  WHERE o.contact_id = contact AND o.kind = 'mailing' AND o.mailing_id <> mailing
    AND o.begun_at > wablast_now() - make_interval(days => days)
    AND o.state IN ('sending', 'accepted', 'sent', 'delivered', 'read', 'uncertain')
$$;
