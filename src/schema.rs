//! The tables as diesel sees them. `tests/it/migrations.rs` compares this file with the migrated database.

diesel::table! {
    account_companies (company_id, account_id) {
        company_id -> BigInt,
        account_id -> BigInt,
        active -> Bool,
    }
}

diesel::table! {
    account_notices (id) {
        id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        at -> Timestamptz,
        inbox_id -> BigInt,
        event -> Text,
        serious -> Bool,
        words -> Text,
    }
}

diesel::table! {
    account_pace (account_id) {
        account_id -> BigInt,
        company_id -> BigInt,
        tokens -> Double,
        tokens_at -> Timestamptz,
        blocked_until -> Nullable<Timestamptz>,
        blocked_reason -> Nullable<Text>,
        probing -> Bool,
        slow -> Double,
        slowed_at -> Nullable<Timestamptz>,
        next_at -> Nullable<Timestamptz>,
        slot -> BigInt,
        sent -> Array<Integer>,
        rules_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    account_pulling (account_id) {
        account_id -> BigInt,
        company_id -> BigInt,
        pulls -> Bool,
        pulled_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    account_recent (account_id) {
        account_id -> BigInt,
        company_id -> BigInt,
        recent -> Text,
        probes -> SmallInt,
    }
}

diesel::table! {
    account_flow (account_id) {
        account_id -> BigInt,
        company_id -> BigInt,
        auth -> Text,
        token -> Nullable<Bytea>,
        signing_secret -> Nullable<Bytea>,
        callback_secret -> Nullable<Bytea>,
        callback_made_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    account_sending (account_id) {
        account_id -> BigInt,
        company_id -> BigInt,
        link_preview -> Bool,
        typing -> Bool,
        check_numbers -> Bool,
        checks_an_hour -> Integer,
        asked_at -> Nullable<Timestamptz>,
        slow_down -> Bool,
        slowed_at -> Nullable<Timestamptz>,
        slowed_why -> Nullable<Text>,
        marketing_messages -> Bool,
    }
}

diesel::table! {
    account_sessions (account_id) {
        account_id -> BigInt,
        company_id -> BigInt,
        hooks_set_at -> Nullable<Timestamptz>,
        refused_at -> Nullable<Timestamptz>,
        refused_why -> Nullable<Text>,
        asked_at -> Nullable<Timestamptz>,
        looked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    account_users (account_id, company_id, user_id) {
        company_id -> BigInt,
        account_id -> BigInt,
        user_id -> BigInt,
    }
}

diesel::table! {
    accounts (id) {
        id -> BigInt,
        company_id -> BigInt,
        name -> Text,
        provider -> Text,
        send_through -> Text,
        delivery -> Text,
        active -> Bool,
        app_uid -> Text,
        app_secret -> Nullable<Bytea>,
        account_uid -> Text,
        phone_uid -> Text,
        token -> Nullable<Bytea>,
        base_url -> Text,
        webhook_verify_token -> Text,
        phone_number -> Nullable<Text>,
        api_url -> Text,
        webhook_url -> Text,
        auth_user -> Text,
        auth_password -> Nullable<Bytea>,
        api_key -> Nullable<Bytea>,
        session -> Text,
        behind_proxy -> Bool,
        welcome_message -> Text,
        opt_out_confirmation -> Text,
        account_key -> Text,
        webhook_secret -> Nullable<Bytea>,
        per_second -> Double,
        burst -> Integer,
        batch_size -> Integer,
        health -> Text,
        health_reason -> Nullable<Text>,
        health_code -> Nullable<Text>,
        health_since -> Timestamptz,
        tested_at -> Nullable<Timestamptz>,
        tested_ok -> Nullable<Bool>,
        test_checks -> Nullable<Jsonb>,
        untested_since -> Nullable<Timestamptz>,
        last_event_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        callback_minutes -> Integer,
        counts_as_sent -> Bool,
        at_once -> Integer,
        health_retry_at -> Nullable<Timestamptz>,
        auto_pause_percent -> Integer,
        hourly_cap -> Nullable<Integer>,
        daily_cap -> Nullable<Integer>,
        delay_min -> Nullable<Double>,
        delay_max -> Nullable<Double>,
        warm_up_first -> Nullable<Integer>,
        warm_up_days -> Nullable<Integer>,
        warm_up_since -> Nullable<Timestamptz>,
        person_gap -> Integer,
        quiet_from -> Nullable<Time>,
        quiet_until -> Nullable<Time>,
        quiet_local -> Bool,
        resend_proven -> Bool,
        session_broke_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    api_tokens (id) {
        id -> BigInt,
        company_id -> BigInt,
        user_id -> BigInt,
        name -> Text,
        token_hash -> Bytea,
        scopes -> Array<Text>,
        created_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    attempts (id) {
        id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        outgoing_id -> BigInt,
        log_id -> Nullable<BigInt>,
        fence -> Integer,
        own_ref -> Nullable<Text>,
        provider_id -> Nullable<Text>,
        begun_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        outcome -> Nullable<Text>,
        code -> Nullable<Text>,
        reason -> Nullable<Text>,
        rank -> SmallInt,
        failure -> Nullable<Text>,
        settled_by -> Nullable<BigInt>,
        failure_code -> Nullable<Text>,
    }
}

diesel::table! {
    audience (mailing_id, position) {
        company_id -> BigInt,
        mailing_id -> BigInt,
        position -> BigInt,
        contact_id -> BigInt,
        list_id -> Nullable<BigInt>,
        number -> Nullable<Text>,
        duplicate -> Bool,
        list_opted_out -> Bool,
    }
}

diesel::table! {
    audit (id) {
        id -> BigInt,
        company_id -> BigInt,
        noun -> Text,
        record_id -> BigInt,
        user_id -> Nullable<BigInt>,
        at -> Timestamptz,
        action -> Text,
        changes -> Jsonb,
        note -> Nullable<Text>,
    }
}

diesel::table! {
    blacklist (company_id, number) {
        company_id -> BigInt,
        number -> Text,
        reason -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    bulk_items (run_id, position) {
        company_id -> BigInt,
        run_id -> BigInt,
        position -> BigInt,
        record_id -> BigInt,
        left_out -> Nullable<Text>,
    }
}

diesel::table! {
    bulk_runs (id) {
        id -> BigInt,
        company_id -> BigInt,
        user_id -> BigInt,
        action -> Text,
        argument -> Text,
        argument_name -> Text,
        back -> Text,
        state -> Text,
        total -> BigInt,
        position -> BigInt,
        changed -> BigInt,
        error -> Nullable<Text>,
        created_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    callback_tokens (company_id) {
        company_id -> BigInt,
        token_hash -> Bytea,
        made_by -> BigInt,
        made_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    companies (id) {
        id -> BigInt,
        name -> Text,
        country -> Text,
        time_zone -> Text,
        late_tolerance_minutes -> Integer,
        opt_out_words -> Array<Text>,
        opt_in_words -> Array<Text>,
        active -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        frequency_mailings -> Nullable<Integer>,
        frequency_days -> Nullable<Integer>,
    }
}

diesel::table! {
    contact_identities (company_id, kind, value) {
        company_id -> BigInt,
        contact_id -> BigInt,
        kind -> Text,
        value -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    contact_tags (contact_id, tag_id) {
        company_id -> BigInt,
        contact_id -> BigInt,
        tag_id -> BigInt,
    }
}

diesel::table! {
    contacts (id) {
        id -> BigInt,
        company_id -> BigInt,
        name -> Text,
        title -> Text,
        whatsapp_number -> Nullable<Text>,
        country -> Nullable<Text>,
        email -> Text,
        company_name -> Text,
        job_position -> Text,
        description -> Text,
        attributes -> Jsonb,
        opt_out -> Bool,
        opt_out_reason -> Nullable<Text>,
        opt_out_at -> Nullable<Timestamptz>,
        active -> Bool,
        is_manual -> Bool,
        is_new -> Bool,
        erased_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        import_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    favourites (id) {
        id -> BigInt,
        company_id -> BigInt,
        user_id -> BigInt,
        list -> Text,
        name -> Text,
        query -> Text,
        is_default -> Bool,
        shared -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    gateway_log (id) {
        id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        gateway -> Text,
        outgoing_id -> Nullable<BigInt>,
        at -> Timestamptz,
        method -> Text,
        address -> Text,
        status -> Nullable<Integer>,
        ms -> Integer,
        outcome -> Text,
        failure -> Nullable<Text>,
        request -> Text,
        request_bytes -> BigInt,
        answer -> Text,
        answer_bytes -> BigInt,
    }
}

diesel::table! {
    gateway_log_dropped (company_id, day) {
        company_id -> BigInt,
        day -> Date,
        dropped -> BigInt,
    }
}

diesel::table! {
    gateway_log_settings (company_id) {
        company_id -> BigInt,
        what -> Text,
        days -> Integer,
    }
}

diesel::table! {
    idempotency_keys (token_id, key) {
        company_id -> BigInt,
        token_id -> BigInt,
        key -> Text,
        request_hash -> Bytea,
        status -> Nullable<SmallInt>,
        answer -> Nullable<Jsonb>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    import_changes (import_id, contact_id) {
        company_id -> BigInt,
        import_id -> BigInt,
        contact_id -> BigInt,
        fields -> Jsonb,
        written_at -> Timestamptz,
        tags -> Jsonb,
        lists -> Jsonb,
    }
}

diesel::table! {
    import_chunks (import_id, workbook, number) {
        company_id -> BigInt,
        import_id -> BigInt,
        number -> Integer,
        bytes -> Bytea,
        workbook -> Bool,
    }
}

diesel::table! {
    import_rejected (import_id, line) {
        company_id -> BigInt,
        import_id -> BigInt,
        line -> BigInt,
        cells -> Jsonb,
        reason -> Text,
    }
}

diesel::table! {
    imports (id) {
        id -> BigInt,
        company_id -> BigInt,
        user_id -> BigInt,
        file_name -> Text,
        options -> Jsonb,
        state -> Text,
        content -> Nullable<Bytea>,
        rows -> BigInt,
        created -> BigInt,
        updated -> BigInt,
        skipped -> BigInt,
        rejected -> BigInt,
        rejected_file -> Nullable<Text>,
        message -> Nullable<Text>,
        created_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        task -> Text,
        position -> BigInt,
        tested -> Nullable<Jsonb>,
        lease -> Nullable<Uuid>,
        lease_until -> Nullable<Timestamptz>,
        tries -> Integer,
        undone -> BigInt,
        undone_at -> Nullable<Timestamptz>,
        restored -> BigInt,
    }
}

diesel::table! {
    inbox (id) {
        id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        source -> Text,
        dedupe -> Text,
        event -> Text,
        headers -> Jsonb,
        body -> Bytea,
        received_at -> Timestamptz,
        state -> Text,
        tries -> SmallInt,
        next_try -> Nullable<Timestamptz>,
        applied_at -> Nullable<Timestamptz>,
        error -> Nullable<Text>,
    }
}

diesel::table! {
    incoming (id) {
        id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        contact_id -> Nullable<BigInt>,
        provider_id -> Text,
        sender -> Text,
        sender_name -> Text,
        receiver -> Nullable<Text>,
        message -> Text,
        mime -> Nullable<Text>,
        quoted_provider_id -> Nullable<Text>,
        outgoing_id -> Nullable<BigInt>,
        mailing_id -> Nullable<BigInt>,
        sent_at -> Nullable<Timestamptz>,
        received_at -> Timestamptz,
        read_at -> Nullable<Timestamptz>,
        opted_out -> Bool,
        opt_out_undone_at -> Nullable<Timestamptz>,
        opt_out_undone_reason -> Nullable<Text>,
        inbox_id -> Nullable<BigInt>,
        full_id -> Nullable<Text>,
        reaction -> Bool,
    }
}

diesel::table! {
    installation (id) {
        id -> SmallInt,
        set_up_at -> Nullable<Timestamptz>,
        setup_token_hash -> Nullable<Bytea>,
        key_fingerprint -> Nullable<Text>,
        cluster -> Nullable<Text>,
        locked_at -> Nullable<Timestamptz>,
        releases_wait_until -> Nullable<Timestamptz>,
        lock_reason -> Nullable<Text>,
        left_uncertain -> BigInt,
        left_unknown -> BigInt,
    }
}

diesel::table! {
    instances (id) {
        id -> Uuid,
        name -> Text,
        role -> Text,
        version -> Text,
        started_at -> Timestamptz,
        seen_at -> Timestamptz,
        clock_ms -> BigInt,
    }
}

diesel::table! {
    job_runs (id) {
        id -> BigInt,
        job -> Text,
        slot -> Timestamptz,
        trigger -> Text,
        user_id -> Nullable<BigInt>,
        started_at -> Nullable<Timestamptz>,
        ended_at -> Nullable<Timestamptz>,
        done -> BigInt,
        summary -> Nullable<Text>,
        error -> Nullable<Text>,
    }
}

diesel::table! {
    jobs (name) {
        name -> Text,
        label -> Text,
        interval_number -> Integer,
        interval_unit -> Text,
        time_zone -> Text,
        active -> Bool,
        next_run -> Timestamptz,
        last_run -> Nullable<Timestamptz>,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    kept_forms (id_hash) {
        id_hash -> Bytea,
        user_id -> BigInt,
        company_id -> BigInt,
        page -> Text,
        sealed -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    late_marks (id) {
        id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        mark -> Text,
        reason -> Text,
    }
}

diesel::table! {
    list_columns (company_id, user_id, list) {
        company_id -> BigInt,
        user_id -> BigInt,
        list -> Text,
        keys -> Array<Text>,
    }
}

diesel::table! {
    list_members (list_id, contact_id) {
        company_id -> BigInt,
        list_id -> BigInt,
        contact_id -> BigInt,
        opt_out -> Bool,
        opt_out_reason -> Nullable<Text>,
        opt_out_at -> Nullable<Timestamptz>,
        added_at -> Timestamptz,
    }
}

diesel::table! {
    lists (id) {
        id -> BigInt,
        company_id -> BigInt,
        name -> Text,
        description -> Text,
        active -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    login_failures (subject) {
        subject -> Text,
        failures -> Integer,
        last_at -> Timestamptz,
    }
}

diesel::table! {
    log_ends (log_id, outgoing_id) {
        company_id -> BigInt,
        log_id -> BigInt,
        outgoing_id -> BigInt,
        state -> Text,
        code -> Nullable<Text>,
        reason -> Nullable<Text>,
        ended_at -> Timestamptz,
    }
}

diesel::table! {
    logs (id) {
        id -> BigInt,
        company_id -> BigInt,
        mailing_id -> BigInt,
        account_id -> BigInt,
        trigger -> Text,
        user_id -> Nullable<BigInt>,
        recipients -> Text,
        state -> Text,
        error_message -> Nullable<Text>,
        started_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    look_ups (outgoing_id) {
        outgoing_id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        fence -> Integer,
        next_at -> Timestamptz,
        clear_since -> Nullable<Timestamptz>,
        proven_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    mailing_contacts (mailing_id, contact_id) {
        company_id -> BigInt,
        mailing_id -> BigInt,
        contact_id -> BigInt,
    }
}

diesel::table! {
    mailing_lists (mailing_id, list_id) {
        company_id -> BigInt,
        mailing_id -> BigInt,
        list_id -> BigInt,
        excluded -> Bool,
        position -> Integer,
    }
}

diesel::table! {
    mailing_figures (mailing_id, kind) {
        mailing_id -> BigInt,
        company_id -> BigInt,
        kind -> Text,
        figures -> Jsonb,
        taken_at -> Timestamptz,
        took_ms -> BigInt,
        counting_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    mailing_stops (mailing_id) {
        mailing_id -> BigInt,
        company_id -> BigInt,
        reason -> Text,
        at -> Timestamptz,
    }
}

diesel::table! {
    mailing_versions (id) {
        id -> BigInt,
        company_id -> BigInt,
        mailing_id -> Nullable<BigInt>,
        subject -> Text,
        header -> Text,
        message -> Text,
        footer -> Text,
        fields -> Array<Text>,
        created_at -> Timestamptz,
        media_id -> Nullable<BigInt>,
        template -> Nullable<Jsonb>,
        template_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    mailings (id) {
        id -> BigInt,
        company_id -> BigInt,
        subject -> Text,
        account_id -> BigInt,
        responsible_id -> BigInt,
        recipients -> Text,
        header_type -> Text,
        header -> Text,
        message -> Text,
        footer -> Text,
        skip_missing_values -> Bool,
        schedule_date -> Nullable<Timestamptz>,
        time_zone -> Text,
        state -> Text,
        state_reason -> Nullable<Text>,
        version_id -> Nullable<BigInt>,
        log_id -> Nullable<BigInt>,
        released_position -> BigInt,
        audience_size -> Nullable<BigInt>,
        release_done -> Bool,
        started_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
        active -> Bool,
        created_by -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        media_id -> Nullable<BigInt>,
        not_after -> Nullable<Timestamptz>,
        template_id -> Nullable<BigInt>,
        template_values -> Jsonb,
        head_up_to -> Nullable<BigInt>,
        head_size -> Nullable<BigInt>,
    }
}

diesel::table! {
    media (id) {
        id -> BigInt,
        company_id -> BigInt,
        kind -> Text,
        file_name -> Text,
        mime -> Text,
        size -> BigInt,
        sha256 -> Binary,
        storage_key -> Text,
        created_by -> Nullable<BigInt>,
        created_at -> Timestamptz,
        used_at -> Timestamptz,
    }
}

diesel::table! {
    media_leftovers (storage_key) {
        storage_key -> Text,
        company_id -> BigInt,
        since -> Timestamptz,
    }
}

diesel::table! {
    media_links (token) {
        token -> Text,
        company_id -> BigInt,
        media_id -> BigInt,
        mailing_id -> Nullable<BigInt>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    number_checks (company_id, number) {
        company_id -> BigInt,
        number -> Text,
        account_id -> BigInt,
        on_whatsapp -> Bool,
        chat_id -> Nullable<Text>,
        checked_at -> Timestamptz,
    }
}

diesel::table! {
    outgoing (id) {
        id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        kind -> Text,
        mailing_id -> Nullable<BigInt>,
        version_id -> Nullable<BigInt>,
        log_id -> Nullable<BigInt>,
        content_id -> Nullable<BigInt>,
        contact_id -> Nullable<BigInt>,
        list_id -> Nullable<BigInt>,
        number -> Nullable<Text>,
        skipped_number -> Nullable<Text>,
        field_values -> Jsonb,
        state -> Text,
        code -> Nullable<Text>,
        reason -> Nullable<Text>,
        fence -> Integer,
        owner -> Nullable<Uuid>,
        lease_until -> Nullable<Timestamptz>,
        not_before -> Nullable<Timestamptz>,
        not_after -> Nullable<Timestamptz>,
        attempts -> SmallInt,
        provider_id -> Nullable<Text>,
        created_at -> Timestamptz,
        begun_at -> Nullable<Timestamptz>,
        accepted_at -> Nullable<Timestamptz>,
        sent_at -> Nullable<Timestamptz>,
        delivered_at -> Nullable<Timestamptz>,
        read_at -> Nullable<Timestamptz>,
        failed_at -> Nullable<Timestamptz>,
        replied_at -> Nullable<Timestamptz>,
        opened_at -> Nullable<Timestamptz>,
        settles_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    outgoing_content (id) {
        id -> BigInt,
        company_id -> BigInt,
        text -> Text,
        user_id -> Nullable<BigInt>,
        cause -> Text,
        created_at -> Timestamptz,
        quoted -> Nullable<Text>,
        media_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    parked_receipts (account_id, reference, rank) {
        company_id -> BigInt,
        account_id -> BigInt,
        reference -> Text,
        rank -> SmallInt,
        at -> Timestamptz,
        received_at -> Timestamptz,
    }
}

diesel::table! {
    presses (company_id, key) {
        company_id -> BigInt,
        key -> Bytea,
        result -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    sessions (id_hash) {
        id_hash -> Bytea,
        user_id -> Nullable<BigInt>,
        state -> Jsonb,
        created_at -> Timestamptz,
        last_used_at -> Timestamptz,
        address -> Nullable<Text>,
        agent -> Nullable<Text>,
    }
}

diesel::table! {
    tags (id) {
        id -> BigInt,
        company_id -> BigInt,
        name -> Text,
    }
}

diesel::table! {
    unheard (outgoing_id) {
        outgoing_id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        reference -> Text,
        tries -> SmallInt,
        next_at -> Timestamptz,
        since -> Timestamptz,
    }
}

diesel::table! {
    unheard_cursor (id) {
        id -> SmallInt,
        attempt_id -> BigInt,
    }
}

diesel::table! {
    user_companies (user_id, company_id) {
        user_id -> BigInt,
        company_id -> BigInt,
        role -> Text,
    }
}

diesel::table! {
    user_links (user_id) {
        user_id -> BigInt,
        token_hash -> Bytea,
        created_by -> Nullable<BigInt>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    users (id) {
        id -> BigInt,
        name -> Text,
        email -> Text,
        password_hash -> Nullable<Text>,
        language -> Text,
        theme -> Text,
        time_zone -> Nullable<Text>,
        active_company_id -> BigInt,
        active -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        joined_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    media_uploads (account_id, media_id) {
        company_id -> BigInt,
        account_id -> BigInt,
        media_id -> BigInt,
        provider_id -> Text,
        uploaded_at -> Timestamptz,
    }
}

diesel::table! {
    templates (id) {
        id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        uid -> Text,
        name -> Text,
        language -> Text,
        category -> Text,
        status -> Text,
        quality -> Text,
        reason -> Nullable<Text>,
        shape -> Jsonb,
        category_before -> Nullable<Text>,
        active -> Bool,
        created_by -> Nullable<BigInt>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        synced_at -> Nullable<Timestamptz>,
        category_changed_at -> Nullable<Timestamptz>,
        media_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    rate_cards (company_id) {
        company_id -> BigInt,
        currency -> Text,
        since -> Date,
        source -> Text,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    rates (id) {
        id -> BigInt,
        company_id -> BigInt,
        country -> Text,
        names -> Text,
        marketing -> BigInt,
        utility -> BigInt,
        authentication -> BigInt,
        service -> BigInt,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    charges (attempt_id) {
        company_id -> BigInt,
        attempt_id -> BigInt,
        outgoing_id -> BigInt,
        account_id -> BigInt,
        mailing_id -> Nullable<BigInt>,
        log_id -> Nullable<BigInt>,
        country -> Text,
        category -> Text,
        billable -> Bool,
        currency -> Text,
        micros -> Nullable<BigInt>,
        at -> Timestamptz,
    }
}

diesel::table! {
    charge_sums (mailing_id, log_id, company_id, currency, category) {
        company_id -> BigInt,
        mailing_id -> BigInt,
        log_id -> BigInt,
        currency -> Text,
        category -> Text,
        micros -> BigInt,
        messages -> BigInt,
        free -> BigInt,
        without_price -> BigInt,
    }
}

diesel::table! {
    meta_numbers (account_id) {
        account_id -> BigInt,
        company_id -> BigInt,
        number -> Text,
        verified_name -> Text,
        status -> Text,
        quality -> Text,
        throughput -> Text,
        messaging_limit -> Text,
        limit_at -> Nullable<Timestamptz>,
        restriction -> Nullable<Text>,
        restricted_at -> Nullable<Timestamptz>,
        token_scopes -> Array<Text>,
        token_expires_at -> Nullable<Timestamptz>,
        token_known -> Bool,
        asked_at -> Nullable<Timestamptz>,
        known_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    reached (company_id, contact_id) {
        company_id -> BigInt,
        contact_id -> BigInt,
        at -> Timestamptz,
    }
}

diesel::table! {
    incoming_files (incoming_id) {
        incoming_id -> BigInt,
        company_id -> BigInt,
        account_id -> BigInt,
        provider_id -> Text,
        sha256 -> Text,
        file_name -> Text,
        state -> Text,
        tries -> SmallInt,
        next_at -> Timestamptz,
        mime -> Text,
        size -> BigInt,
        storage_key -> Nullable<Text>,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    told_signs (outgoing_id) {
        outgoing_id -> BigInt,
        company_id -> BigInt,
        code -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    account_companies,
    account_flow,
    account_notices,
    account_pace,
    account_pulling,
    account_recent,
    account_sending,
    account_sessions,
    account_users,
    accounts,
    api_tokens,
    attempts,
    audience,
    audit,
    blacklist,
    bulk_items,
    bulk_runs,
    callback_tokens,
    charge_sums,
    charges,
    companies,
    contact_identities,
    contact_tags,
    contacts,
    favourites,
    gateway_log,
    gateway_log_dropped,
    gateway_log_settings,
    idempotency_keys,
    imports,
    inbox,
    incoming,
    incoming_files,
    installation,
    instances,
    job_runs,
    jobs,
    kept_forms,
    late_marks,
    list_columns,
    list_members,
    lists,
    login_failures,
    log_ends,
    logs,
    look_ups,
    mailing_contacts,
    mailing_lists,
    mailing_figures,
    mailing_stops,
    mailing_versions,
    mailings,
    media,
    media_uploads,
    media_leftovers,
    media_links,
    meta_numbers,
    number_checks,
    outgoing,
    outgoing_content,
    parked_receipts,
    presses,
    rate_cards,
    rates,
    reached,
    sessions,
    templates,
    tags,
    told_signs,
    unheard,
    unheard_cursor,
    user_companies,
    user_links,
    users,
);
