-- *Requests at one time* of an account that sends through a webhook is what its owner's flow sees: it holds over all
-- instances together.

-- Pushes that may be at a flow, or will be in a moment. One takes 30 seconds at most, and starts within one; who ended
-- in the middle of it holds its place no longer. Volatile: it sees what another taker of the account committed while this
-- one waited for the lock of its pace. The lease makes it read the index of what is held.
CREATE FUNCTION wablast_under_way(account bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT count(*) FROM outgoing o
  WHERE o.state IN ('claimed', 'sending') AND o.lease_until > '-infinity' AND o.account_id = account
    AND (o.state = 'claimed' OR o.begun_at > wablast_now() - interval '32 seconds')
$$;

-- What an account may send at an instant. One place for the claim, for waiting and for what pages say.
CREATE OR REPLACE FUNCTION wablast_room(p account_pace, a accounts, at timestamptz) RETURNS wablast_room LANGUAGE plpgsql STABLE AS $$
DECLARE
  r wablast_room;
  passed integer;
BEGIN
  r.at := at;
  r.slot := floor(extract(epoch FROM at) / 600);
  -- where the clock went back the newest ten minutes go on
  passed := greatest(0, least(145, r.slot - p.slot));
  r.slot := greatest(r.slot, p.slot);
  r.sent := p.sent;
  IF passed > 0 THEN
    r.sent := (array_fill(0, ARRAY[passed]) || p.sent)[1:145];
  END IF;
  -- a tenth of a second of the rate stays in the bucket: what is granted arrives a little later, and no second at the
  -- gateway may have more than burst and rate together
  r.tokens := least(greatest(1, a.burst - a.per_second / 10), p.tokens + a.per_second * wablast_slowed(p.slow, p.slowed_at, greatest(p.tokens_at, p.slowed_at))
    * greatest(0, extract(epoch FROM at - p.tokens_at)::float8));
  r.urgent := greatest(0, floor(r.tokens));
  IF a.delay_max IS NOT NULL THEN
    r.urgent := CASE WHEN p.next_at > at THEN 0 ELSE least(1, r.urgent) END;
  END IF;
  IF a.send_through = 'webhook' AND r.urgent > 0 AND NOT wablast_pulled(a) THEN
    r.urgent := greatest(0, least(r.urgent, a.at_once - wablast_under_way(a.id)));
    IF r.urgent = 0 THEN
      -- asked again in a twentieth of a second; where nothing is taken no tokens are written
      r.tokens := 1 - a.per_second * wablast_slowed(p.slow, p.slowed_at, at) / 20;
    END IF;
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
