-- Messages that Meta took and holds back while it assesses their template's quality: accepted with this code, until a
-- receipt takes the code away.
CREATE INDEX outgoing_held_for_quality ON outgoing (mailing_id) WHERE state = 'accepted' AND code = 'held_for_quality';
