-- Two numbers may be one person at WhatsApp, as with Brazil's ninth digit: whoever was asked about knows the chat that
-- a number leads to.
CREATE INDEX number_checks_chat ON number_checks (company_id, chat_id) WHERE chat_id IS NOT NULL;

-- Whether another message of the mailing goes, or may have gone, to the chat that this number leads to. Of two that
-- have not begun the first goes.
CREATE FUNCTION wablast_twin(company bigint, mailing bigint, message bigint, number text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM (SELECT coalesce((SELECT n.chat_id FROM number_checks n WHERE n.company_id = $1 AND n.number = $4), $4 || '@c.us') AS chat) own
    CROSS JOIN LATERAL (
      SELECT n.number FROM number_checks n WHERE n.company_id = $1 AND n.chat_id = own.chat
      UNION ALL SELECT split_part(own.chat, '@', 1) WHERE own.chat LIKE '%@c.us') other
    JOIN outgoing o ON o.mailing_id = $2 AND o.number = other.number
    WHERE other.number <> $4 AND o.id <> $3 AND (o.begun_at IS NOT NULL OR o.id < $3)
      AND o.state NOT IN ('skipped', 'canceled', 'expired', 'failed'))
$$;
